//! Names of the host's users, from its `/etc/passwd` alone: a static binary loads no name service.

/// The name of a user, or `#` and the number where there is none.
pub(crate) fn name(uid: u32) -> String {
    let file = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    find(&file, uid).map_or_else(|| format!("#{uid}"), str::to_owned)
}

/// The name that a passwd(5) file gives a number.
fn find(file: &str, uid: u32) -> Option<&str> {
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid && !name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_third_field_is_the_number() {
        let file = "root:x:0:0::/root:/bin/sh\nbroken\n::7:\ndaemon:x:1:1::/:/bin/false\n";
        assert_eq!(find(file, 0), Some("root"));
        assert_eq!(find(file, 1), Some("daemon"));
        assert_eq!(find(file, 7), None);
    }
}
