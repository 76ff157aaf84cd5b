//! The user of the program, by the image's own databases.

use insula_container::error::{Error, Result};
use insula_image::{ResolvedUser, UnionView, resolve_user};

use super::image_error;

/// Resolves `user` with the image's files.
pub(super) fn resolve(user: &str, files: &UnionView) -> Result<ResolvedUser> {
    let read = |path: &str| -> Result<Vec<u8>> {
        let found = files.read_file(path).map_err(image_error)?;
        Ok(found.unwrap_or_default())
    };
    resolve_user(user, &read("etc/passwd")?, &read("etc/group")?).map_err(image_error)
}

/// The numbers of groups that are given by name or number.
///
/// # Errors
/// The image has no group of that name.
pub(super) fn groups(names: &[String], files: &UnionView) -> Result<Vec<u32>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let database = files.read_file("etc/group").map_err(image_error)?;
    let database = String::from_utf8_lossy(database.as_deref().unwrap_or_default()).into_owned();
    names.iter().map(|name| group(name, &database)).collect()
}

fn group(name: &str, database: &str) -> Result<u32> {
    let by_name = database.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next()? == name;
        let number = fields.nth(1)?.parse().ok()?;
        found.then_some(number)
    });
    by_name.or_else(|| name.parse().ok()).ok_or_else(|| {
        Error::new(format!("the image's /etc/group has no group `{name}`")).hint("give its number")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_found_by_the_image_s_names_or_are_numbers() {
        let database = "root:x:0:\nvideo:x:44:user\nbroken\n7:x:70:\n";
        assert_eq!(group("video", database).unwrap(), 44);
        assert_eq!(group("1234", database).unwrap(), 1234);
        // A name wins, whatever it looks like.
        assert_eq!(group("7", database).unwrap(), 70);
        assert!(group("audio", database).is_err() && group("-1", database).is_err());
    }
}
