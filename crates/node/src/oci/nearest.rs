//! The nearest of some known names to a mistyped one.

/// The name with the fewest edits (insert, delete, replace, swap of neighbours), if they are few
/// enough for a slip of the fingers.
pub(crate) fn nearest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (typed.len() / 3).max(1);
    names
        .map(|name| (distance(typed.as_bytes(), name.as_bytes()), name))
        .filter(|(edits, _)| *edits <= most)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut before = vec![0; to.len() + 1];
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, left) in from.iter().enumerate() {
        let mut line = vec![row + 1; to.len() + 1];
        for (column, right) in to.iter().enumerate() {
            let replaced = above[column] + usize::from(left != right);
            line[column + 1] = replaced.min(above[column + 1] + 1).min(line[column] + 1);
            let swapped =
                row > 0 && column > 0 && *left == to[column - 1] && from[row - 1] == *right;
            if swapped {
                line[column + 1] = line[column + 1].min(before[column - 1] + 1);
            }
        }
        before = std::mem::replace(&mut above, line);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_fingers_is_recognised() {
        let names = ["create", "start", "state", "kill", "bundle"];
        let near = |typed| nearest(typed, names.into_iter());
        assert_eq!(near("craete"), Some("create"));
        assert_eq!(near("bundel"), Some("bundle"));
        assert_eq!(near("kil"), Some("kill"));
        assert_eq!(near("frobnicate"), None);
        assert_eq!(near(""), None);
    }
}
