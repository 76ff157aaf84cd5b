//! The words of an instruction before anything is expanded: flags, lists, pairs.

/// Splits at spaces outside of quotes; quotes and escape characters stay in the words.
pub(super) fn split_raw(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match quote {
            None if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
        word.push(character);
        if character == escape && quote != Some('\'') {
            word.extend(characters.next());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// A JSON list of texts; `None` when it is anything else.
pub(super) fn json_list(text: &str) -> Option<Vec<String>> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return None;
    }
    serde_json::from_str(text).ok()
}

/// A JSON list that has something else than texts in it: nobody means it for the shell.
pub(super) fn is_mixed_list(text: &str) -> bool {
    let text = text.trim_start();
    text.starts_with('[') && serde_json::from_str::<Vec<serde_json::Value>>(text).is_ok()
}

/// `--name` or `--name=value` in front of an instruction's arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// Takes the flags off; `--` alone ends them.
pub(super) fn flags(text: &str, escape: char) -> (Vec<Flag>, &str) {
    let mut flags = Vec::new();
    let mut rest = text.trim_start();
    while rest.starts_with("--") {
        let end = flag_end(rest, escape);
        let (word, behind) = rest.split_at(end);
        rest = behind.trim_start();
        let word = unquoted(word, escape);
        let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) else {
            break;
        };
        flags.push(match flag.split_once('=') {
            Some((name, value)) => Flag {
                name: name.to_owned(),
                value: Some(value.to_owned()),
            },
            None => Flag {
                name: flag.to_owned(),
                value: None,
            },
        });
    }
    (flags, rest)
}

fn flag_end(text: &str, escape: char) -> usize {
    let mut quote = None;
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match quote {
            None if character.is_whitespace() => return index,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
        if character == escape {
            characters.next();
        }
    }
    text.len()
}

/// Without quotes. An escape character goes only in front of a quote or itself: a dollar sign must
/// keep its own for the expansion.
fn unquoted(word: &str, escape: char) -> String {
    let mut out = String::with_capacity(word.len());
    let mut quote = None;
    let mut characters = word.chars().peekable();
    while let Some(character) = characters.next() {
        match quote {
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ if character == escape => match characters.peek().copied() {
                Some(next) if matches!(next, '"' | '\'') || next.is_whitespace() => {
                    characters.next();
                    out.push(next);
                }
                _ => out.push(character),
            },
            _ => out.push(character),
        }
    }
    out
}

/// `KEY=value KEY=value …`, or the old `KEY the rest`. Nothing is unquoted.
pub(super) fn pairs(text: &str, escape: char) -> Result<Vec<(String, String)>, String> {
    let words = split_raw(text, escape);
    let Some(first) = words.first() else {
        return Err("a name and a value are needed".to_owned());
    };
    if !first.contains('=') {
        let rest = text.trim_start()[first.len()..].trim();
        if rest.is_empty() {
            return Err(format!("`{first}` has no value"));
        }
        return Ok(vec![(first.clone(), rest.to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{word}` is not NAME=value")),
    };
    words.iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_words() {
        let words = split_raw("a 'b c' \"d \\\" e\" f\\ g", '\\');
        assert_eq!(words, ["a", "'b c'", "\"d \\\" e\"", "f\\ g"]);
    }

    #[test]
    fn flags_end_with_the_first_word() {
        let (found, rest) = flags("--a=b --c --d=\"e f\" x --g", '\\');
        let names: Vec<_> = found.iter().map(|flag| flag.name.as_str()).collect();
        assert_eq!((names.as_slice(), rest), (&["a", "c", "d"][..], "x --g"));
        assert_eq!(found[2].value.as_deref(), Some("e f"));
        assert_eq!(flags("-- --x y", '\\'), (vec![], "--x y"));
        assert_eq!(flags("-x", '\\'), (vec![], "-x"));
    }

    #[test]
    fn name_value_pairs() {
        let text = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(
            pairs("A=1 B=\"x y\" C=a\\ b", '\\').unwrap(),
            [text("A", "1"), text("B", "\"x y\""), text("C", "a\\ b")]
        );
        assert_eq!(
            pairs("ONE TWO= THREE=w", '\\').unwrap(),
            [text("ONE", "TWO= THREE=w")]
        );
        for wrong in ["", "A", "A=1 B", "=1"] {
            assert!(pairs(wrong, '\\').is_err(), "{wrong}");
        }
    }
}
