/* A static program that ends at once, for where the memory of a container must not count. */
__attribute__((noreturn)) void _start(void) {
    __asm__ volatile("syscall" : : "a"(231), "D"(0) : "rcx", "r11", "memory");
    __builtin_unreachable();
}
