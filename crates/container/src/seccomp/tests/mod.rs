//! The compiler against a direct reading of profiles, and against the kernel.

mod evaluate;
mod interpreter;
mod live;
mod profiles;
mod random;
