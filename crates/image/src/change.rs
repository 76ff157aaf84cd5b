//! `--change`: one line of a Dockerfile applied to an image's configuration.
//!
//! CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR. Quoting is the
//! Dockerfile's: double quotes, single quotes, and backslashes outside of single quotes.

use serde_json::Value;

use crate::config::Config;
use crate::error::{Error, Result};

/// Applies one instruction such as `CMD ["bash"]` or `ENV A=1 B="two words"`.
///
/// # Errors
/// The instruction is unknown or its argument malformed; the error names it.
pub fn apply_change(config: &mut Config, change: &str) -> Result<()> {
    let wrong = |reason: &str| {
        Error::invalid(format!("change `{change}`: {reason}"))
            .hint("for example: --change 'CMD [\"bash\"]' --change 'ENV LANG=C.UTF-8'")
    };
    let change = change.trim();
    let (instruction, argument) = change
        .split_once(|character: char| character.is_whitespace())
        .ok_or_else(|| wrong("an instruction and its argument are needed"))?;
    let argument = argument.trim();
    let empty = || Value::Object(serde_json::Map::new());
    match instruction.to_ascii_uppercase().as_str() {
        "CMD" => config.cmd = command(argument).map_err(|reason| wrong(&reason))?,
        "ENTRYPOINT" => config.entrypoint = command(argument).map_err(|reason| wrong(&reason))?,
        "ENV" => {
            for (key, value) in pairs(argument).map_err(|reason| wrong(&reason))? {
                set_variable(&mut config.env, &key, &value);
            }
        }
        "LABEL" => {
            let pairs = pairs(argument).map_err(|reason| wrong(&reason))?;
            config.labels.extend(pairs);
        }
        "EXPOSE" => {
            for port in words(argument).map_err(|reason| wrong(&reason))? {
                let port =
                    port_key(&port).ok_or_else(|| wrong("a port is 1 to 65535[/tcp|/udp]"))?;
                config.exposed_ports.insert(port, empty());
            }
        }
        "VOLUME" => {
            for path in list_or_words(argument).map_err(|reason| wrong(&reason))? {
                config.volumes.insert(path, empty());
            }
        }
        "USER" => config.user = argument.to_owned(),
        "STOPSIGNAL" => config.stop_signal = argument.to_owned(),
        "WORKDIR" => {
            // A relative directory continues the one before.
            config.working_dir = if argument.starts_with('/') {
                argument.to_owned()
            } else {
                let before = config.working_dir.trim_end_matches('/');
                format!("{before}/{argument}")
            };
        }
        _ => {
            return Err(wrong(
                "only CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME and WORKDIR",
            ));
        }
    }
    Ok(())
}

/// Replaces `key` where it is or adds it at the end.
fn set_variable(environment: &mut Vec<String>, key: &str, value: &str) {
    let entry = format!("{key}={value}");
    let same_key = |existing: &&mut String| existing.split('=').next() == Some(key);
    match environment.iter_mut().find(same_key) {
        Some(existing) => *existing = entry,
        None => environment.push(entry),
    }
}

/// A JSON list is the arguments; anything else is a line for the shell.
fn command(argument: &str) -> Result<Vec<String>, String> {
    if argument.starts_with('[') {
        return json_list(argument);
    }
    Ok(["/bin/sh", "-c", argument].map(str::to_owned).to_vec())
}

fn json_list(argument: &str) -> Result<Vec<String>, String> {
    serde_json::from_str(argument).map_err(|error| format!("not a JSON list of texts: {error}"))
}

fn list_or_words(argument: &str) -> Result<Vec<String>, String> {
    if argument.starts_with('[') {
        json_list(argument)
    } else {
        words(argument)
    }
}

/// `KEY=value KEY=value`, or the old form `KEY the rest is the value`.
fn pairs(argument: &str) -> Result<Vec<(String, String)>, String> {
    let words = words(argument)?;
    if let Some(first) = words.first()
        && !first.contains('=')
    {
        let rest = argument[first.len()..].trim();
        if rest.is_empty() {
            return Err(format!("`{first}` has no value"));
        }
        return Ok(vec![(first.clone(), rest.to_owned())]);
    }
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(format!("`{word}` is not KEY=value")),
        })
        .collect()
}

fn port_key(text: &str) -> Option<String> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let port: u16 = port.parse().ok()?;
    (port != 0 && matches!(protocol, "tcp" | "udp" | "sctp")).then(|| format!("{port}/{protocol}"))
}

fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, quote) {
            ('\\', None | Some('"')) => {
                let next = characters.next().ok_or("a backslash ends the line")?;
                word.get_or_insert_default().push(next);
            }
            (character, Some(open)) if character == open => quote = None,
            ('"' | '\'', None) => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (character, None) if character.is_whitespace() => words.extend(word.take()),
            (character, _) => word.get_or_insert_default().push(character),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed".to_owned());
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions() {
        let mut config = Config::default();
        for change in [
            "CMD [\"bash\", \"-l\"]",
            "entrypoint exec app",
            "ENV A=1 B=\"two words\" C=it\\ is",
            "ENV A=2",
            "ENV D the rest",
            "EXPOSE 80 53/udp",
            "LABEL a.b=c",
            "STOPSIGNAL SIGINT",
            "USER 1000:1000",
            "VOLUME /data",
            "VOLUME [\"/a b\"]",
            "WORKDIR /srv",
            "WORKDIR app",
        ] {
            apply_change(&mut config, change).unwrap();
        }
        assert_eq!(config.cmd, ["bash", "-l"]);
        assert_eq!(config.entrypoint, ["/bin/sh", "-c", "exec app"]);
        assert_eq!(config.env, ["A=2", "B=two words", "C=it is", "D=the rest"]);
        let ports: Vec<_> = config.exposed_ports.keys().collect();
        assert_eq!(ports, ["53/udp", "80/tcp"]);
        assert_eq!(config.labels["a.b"], "c");
        assert_eq!(config.working_dir, "/srv/app");
        let volumes: Vec<_> = config.volumes.keys().collect();
        assert_eq!(volumes, ["/a b", "/data"]);
        assert_eq!(config.user, "1000:1000");
    }

    #[test]
    fn malformed_instructions() {
        for change in [
            "",
            "CMD",
            "RUN make",
            "CMD [1]",
            "CMD [\"a\"",
            "ENV =x",
            "ENV A",
            "EXPOSE 0",
            "EXPOSE 80/icmp",
            "ENV A=\"x",
            "ENV A=1 B",
        ] {
            let error = apply_change(&mut Config::default(), change).unwrap_err();
            assert!(error.to_string().contains("change `"), "{change}");
        }
    }
}
