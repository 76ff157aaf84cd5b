//! Objects as YAML 1.2, in the block style that kubectl prints.
//!
//! Only writing is needed, and only of what JSON can hold, so this is one page instead of a
//! dependency. A text that YAML could read as something else is quoted as JSON, which is YAML too.

use serde_json::Value;

/// The document, with a newline at its end.
pub(super) fn to_text(document: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, document, 0, Place::LineStart);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// Where the writer stands when a value begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start of a line, or right after `- `: a collection may begin here.
    LineStart,
    /// After `key:`: a collection begins on the next line.
    AfterKey,
}

fn write_value(text: &mut String, value: &Value, indent: usize, place: Place) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (position, (key, child)) in map.iter().enumerate() {
                start_entry(text, indent, position == 0 && place == Place::LineStart);
                text.push_str(&scalar(key));
                text.push(':');
                let child_indent = match child {
                    // kubectl keeps list dashes under their key.
                    Value::Array(_) => indent,
                    _ => indent + 2,
                };
                write_value(text, child, child_indent, Place::AfterKey);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for (position, child) in list.iter().enumerate() {
                start_entry(text, indent, position == 0 && place == Place::LineStart);
                text.push_str("- ");
                write_value(text, child, indent + 2, Place::LineStart);
            }
        }
        leaf => {
            if place == Place::AfterKey {
                text.push(' ');
            }
            text.push_str(&leaf_text(leaf));
        }
    }
}

/// Goes to a new line with the right indent, unless the entry continues the current one.
fn start_entry(text: &mut String, indent: usize, continues: bool) {
    if continues {
        return;
    }
    text.push('\n');
    text.extend(std::iter::repeat_n(' ', indent));
}

fn leaf_text(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        // `{}`, `[]`, numbers, true, false and null are the same in both languages.
        other => other.to_string(),
    }
}

/// A text, plain where no reader can mistake it.
fn scalar(text: &str) -> String {
    let is_plain_character =
        |character: char| character.is_ascii_alphanumeric() || "_-./@+=,%".contains(character);
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/');
    let is_word_of_yaml = [
        "true", "false", "null", "yes", "no", "on", "off", "y", "n", "~",
    ]
    .iter()
    .any(|word| text.eq_ignore_ascii_case(word));
    // A colon is safe when no space follows it; spaces inside a text are always quoted here.
    let is_plain = text
        .chars()
        .all(|character| is_plain_character(character) || character == ':')
        && !text.ends_with(':');
    if starts_well && is_plain && !is_word_of_yaml {
        text.to_owned()
    } else {
        Value::String(text.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_objects_and_lists_look_like_kubectl_s() {
        let document = json!({"a": {"b": [1, {"c": "x", "d": []}]}, "name": "debian:12"});
        let expected = "a:\n  b:\n  - 1\n  - c: x\n    d: []\nname: debian:12\n";
        assert_eq!(to_text(&document), expected);
    }

    #[test]
    fn lists_of_objects_stand_at_the_margin() {
        let document = json!([{"a": 1, "b": null}, {"a": 2, "b": true}]);
        assert_eq!(to_text(&document), "- a: 1\n  b: null\n- a: 2\n  b: true\n");
        assert_eq!(to_text(&json!([])), "[]\n");
    }

    #[test]
    fn texts_that_look_like_something_else_are_quoted() {
        for (text, expected) in [
            ("yes", "\"yes\""),
            ("12", "\"12\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("- x", "\"- x\""),
            ("sha256:ab", "sha256:ab"),
            ("/bin/sh", "/bin/sh"),
            ("two\nlines", "\"two\\nlines\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }
}
