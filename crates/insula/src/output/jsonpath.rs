//! `-o jsonpath={.name}`: the part of kubectl's JSONPath that picks values out of an object.
//!
//! Text outside braces is printed as it is; `{.a.b}`, `{.a[0]}`, `{.a[*].b}` and `{.a['x.y']}`
//! pick values, `{"\n"}` and `{"\t"}` print that text. Several values are joined by spaces, as
//! kubectl does. Not here: filters, ranges, slices.

use serde_json::Value;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Path(Vec<Step>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
    Each,
}

impl JsonPath {
    /// # Errors
    /// A sentence that says what cannot be read.
    pub(crate) fn parse(expression: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = expression;
        while let Some(open) = rest.find('{') {
            if open > 0 {
                parts.push(Part::Text(rest[..open].to_owned()));
            }
            let (inside, after) = split_brace(&rest[open + 1..])?;
            parts.push(parse_part(inside)?);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The text for one object. What is absent prints as nothing.
    #[must_use]
    pub(crate) fn evaluate(&self, object: &Value) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Path(steps) => {
                    let found: Vec<String> = walk(object, steps).iter().map(plain).collect();
                    text.push_str(&found.join(" "));
                }
            }
        }
        text
    }
}

/// Splits at the closing brace that is not inside quotes.
fn split_brace(text: &str) -> Result<(&str, &str), String> {
    let mut quote = None;
    for (index, character) in text.char_indices() {
        match (quote, character) {
            (None, '}') => return Ok((&text[..index], &text[index + 1..])),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), close) if open == close => quote = None,
            _ => {}
        }
    }
    Err("a `{` is never closed".to_owned())
}

fn parse_part(inside: &str) -> Result<Part, String> {
    let inside = inside.trim();
    if inside.starts_with('"') {
        return serde_json::from_str(inside)
            .map(Part::Text)
            .map_err(|_unread| format!("{inside} is not a quoted text"));
    }
    if inside.starts_with("range") || inside == "end" {
        return Err("range is not needed: the expression is applied to each item".to_owned());
    }
    parse_steps(inside).map(Part::Path)
}

fn parse_steps(path: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    if !rest.is_empty() && !rest.starts_with(['.', '[']) {
        return Err(format!("`{path}` does not start with a dot"));
    }
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('[') {
            let close = after.find(']').ok_or("a `[` is never closed")?;
            steps.push(parse_index(&after[..close])?);
            rest = &after[close + 1..];
        } else {
            let after = rest.strip_prefix('.').unwrap_or(rest);
            let (key, remaining) = split_key(after);
            match key.as_str() {
                "" if remaining.is_empty() || remaining.starts_with('[') => {}
                "" => return Err(format!("`{path}` has an empty step")),
                "*" => steps.push(Step::Each),
                _ => steps.push(Step::Key(key)),
            }
            rest = remaining;
        }
    }
    Ok(steps)
}

fn parse_index(inside: &str) -> Result<Step, String> {
    if inside == "*" {
        return Ok(Step::Each);
    }
    let unquoted = inside
        .strip_prefix(['\'', '"'])
        .and_then(|text| text.strip_suffix(['\'', '"']));
    if let Some(key) = unquoted {
        return Ok(Step::Key(key.to_owned()));
    }
    let index = inside.parse();
    index
        .map(Step::Index)
        .map_err(|_unread| format!("`[{inside}]` is neither a number, `*` nor a quoted name"))
}

/// A key up to the next dot or bracket; `\.` is a dot inside the key.
fn split_key(text: &str) -> (String, &str) {
    let mut key = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '.' | '[' => return (key, &text[index..]),
            '\\' => key.extend(characters.next().map(|(_, escaped)| escaped)),
            _ => key.push(character),
        }
    }
    (key, "")
}

fn walk(object: &Value, steps: &[Step]) -> Vec<Value> {
    let Some((step, rest)) = steps.split_first() else {
        return vec![object.clone()];
    };
    match (step, object) {
        (Step::Key(key), Value::Object(map)) => {
            map.get(key).map_or_else(Vec::new, |next| walk(next, rest))
        }
        (Step::Index(index), Value::Array(list)) => list
            .get(*index)
            .map_or_else(Vec::new, |next| walk(next, rest)),
        (Step::Each, Value::Array(list)) => list.iter().flat_map(|next| walk(next, rest)).collect(),
        (Step::Each, Value::Object(map)) => map.values().flat_map(|n| walk(n, rest)).collect(),
        _ => Vec::new(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pick(expression: &str) -> String {
        let object = json!({
            "name": "web", "size": 12, "labels": {"a.b/c": "x"},
            "layers": [{"digest": "one"}, {"digest": "two"}]
        });
        JsonPath::parse(expression).unwrap().evaluate(&object)
    }

    #[test]
    fn values_are_picked_by_name_index_star_and_quoted_name() {
        assert_eq!(pick("{.name}"), "web");
        assert_eq!(pick("{.size}"), "12");
        assert_eq!(pick("{.layers[1].digest}"), "two");
        assert_eq!(pick("{.layers[*].digest}"), "one two");
        assert_eq!(pick("{.labels['a.b/c']}"), "x");
        assert_eq!(pick("{.labels.a\\.b/c}"), "x");
        assert_eq!(pick("{$.name}"), "web");
    }

    #[test]
    fn text_stays_and_what_is_absent_is_nothing() {
        assert_eq!(pick("name={.name}{\"\\t\"}{.none}!"), "name=web\t!");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for wrong in [
            "{.name",
            "{name}",
            "{.a[x]}",
            "{range .items[*]}",
            "{.a..b}",
        ] {
            assert!(JsonPath::parse(wrong).is_err(), "{wrong}");
        }
    }
}
