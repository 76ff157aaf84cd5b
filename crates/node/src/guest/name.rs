//! Identifiers and names of containers.

use insula_container::error::{Context, Error, Result};
use insula_sys::rustix::rand::{GetRandomFlags, getrandom};

const NAME_LENGTH_MAX: usize = 128;

const ADJECTIVES: [&str; 32] = [
    "amber", "bold", "brave", "bright", "brisk", "calm", "clear", "coastal", "cool", "deep",
    "distant", "eager", "gentle", "golden", "green", "hidden", "hollow", "keen", "lively", "lunar",
    "misty", "noble", "northern", "patient", "quiet", "rapid", "salty", "silent", "steady",
    "sunny", "tidal", "windy",
];
const NOUNS: [&str; 32] = [
    "anchor", "atoll", "bay", "beacon", "breeze", "cape", "cliff", "coral", "cove", "current",
    "delta", "dune", "gull", "harbor", "heron", "inlet", "island", "isthmus", "lagoon", "lantern",
    "mast", "otter", "pebble", "pelican", "pier", "reef", "ridge", "sail", "seal", "shoal",
    "strait", "tide",
];

/// A new identifier, 64 hexadecimal digits, and a name made up of the same randomness.
pub(super) fn make_up() -> Result<(String, String)> {
    let mut random = [0_u8; 32];
    getrandom(&mut random, GetRandomFlags::empty()).step(|| "read random bytes")?;
    let id = hex(&random);
    let adjective = ADJECTIVES[usize::from(random[0] % 32)];
    let noun = NOUNS[usize::from(random[1] % 32)];
    let name = format!("{adjective}-{noun}-{}", &id[60..]);
    Ok((id, name))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// A name becomes a file name, and must not be taken for an option.
///
/// # Errors
/// The name has other characters than letters, digits, `_`, `.` and `-`, or starts with one of the
/// last three.
pub fn check_name(name: &str) -> Result<()> {
    let is_valid = name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if is_valid {
        return Ok(());
    }
    Err(
        Error::new(format!("`{name}` is not a name for a container")).hint(
            "use up to 128 letters, digits and the characters _ . - after a letter or a digit",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let (id, name) = make_up().unwrap();
        assert_eq!(id.len(), 64);
        check_name(&name).unwrap();
        check_name(&id).unwrap();
        assert_ne!(make_up().unwrap().0, id);
        for wrong in ["", ".", "..", "-a", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}
