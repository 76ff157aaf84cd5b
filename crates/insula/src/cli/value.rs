//! What the values of flags mean: sizes, volumes, limits, environment. Pure text to facts.
//!
//! The forms are docker's, because people have them in their fingers; each error says the form.

use insula_node::run::{DeviceMapping, Limit, RestartPolicy, Secret, Tmpfs, Volume};

/// `512m`, `1.5g`, `1048576`: bytes, with binary units.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const FORM: &str = "a size is a number with b, k, m, g or t behind it: 512m";
    let lower = text.trim().to_ascii_lowercase();
    let number_end = lower
        .find(|character: char| !(character.is_ascii_digit() || character == '.'))
        .unwrap_or(lower.len());
    let (number, unit) = lower.split_at(number_end);
    let shift = match unit.trim().trim_end_matches("ib").trim_end_matches('b') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(FORM.to_owned()),
    };
    scaled(number, 1 << shift).ok_or_else(|| FORM.to_owned())
}

/// `1.5` as 1500 thousandths of a processor.
pub(super) fn cpus(text: &str) -> Result<u64, String> {
    match scaled(text.trim(), 1000) {
        Some(0) | None => Err("a number of processors above zero: 1.5".to_owned()),
        Some(millis) => Ok(millis),
    }
}

/// A decimal number times `unit`, without floating point; digits below the unit are cut.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let has_digits = !whole.is_empty() || !fraction.is_empty();
    let is_decimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !has_digits || !is_decimal(whole) || !is_decimal(fraction) {
        return None;
    }
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    // More digits than these are below the smallest part of any unit here.
    let fraction = &fraction[..fraction.len().min(18)];
    let digits = u32::try_from(fraction.len()).ok()?;
    let parts: u64 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let total = u128::from(whole) * u128::from(unit)
        + u128::from(parts) * u128::from(unit) / 10u128.pow(digits);
    u64::try_from(total).ok()
}

/// `-v SRC:DST[:OPTIONS]`.
pub(super) fn volume(text: &str) -> Result<Volume, String> {
    const FORM: &str = "the form is HOSTPATH:PATH[:ro] or VOLUME:PATH[:ro]";
    if text.starts_with('/') && !text.contains(':') {
        return Ok(Volume {
            source: "".into(),
            destination: text.into(),
            options: Vec::new(),
        });
    }
    let mut parts = text.splitn(3, ':');
    let (Some(source), Some(destination)) = (parts.next(), parts.next()) else {
        return Err(FORM.to_owned());
    };
    if !destination.starts_with('/') {
        return Err(format!("`{destination}` is not an absolute path; {FORM}"));
    }
    if source.is_empty() {
        return Err(format!("the source is missing; {FORM}"));
    }
    if !source.starts_with(['/', '.']) && source.contains('/') {
        return Err(format!(
            "`{source}` is neither a path nor the name of a volume; write ./{source} or /…"
        ));
    }
    let options = parts.next().map_or_else(Vec::new, comma_list);
    for option in &options {
        mount_option(option)?;
    }
    Ok(Volume {
        source: source.into(),
        destination: destination.into(),
        options,
    })
}

/// The options of `-v` and `--mount` that reach the kernel or are known to be harmless.
fn mount_option(option: &str) -> Result<(), String> {
    const KNOWN: [&str; 22] = [
        "nocopy",
        "ro",
        "rw",
        "z",
        "Z",
        "bind",
        "rbind",
        "private",
        "rprivate",
        "shared",
        "rshared",
        "slave",
        "rslave",
        "nosuid",
        "suid",
        "nodev",
        "dev",
        "noexec",
        "exec",
        "noatime",
        "relatime",
        "nosymfollow",
    ];
    if KNOWN.contains(&option) {
        return Ok(());
    }
    Err(format!(
        "unknown option `{option}`; use ro, rw, rbind, rprivate, nosuid, nodev, noexec"
    ))
}

/// `--mount type=bind|volume|tmpfs,source=…,target=…[,readonly]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mount {
    Bind(Volume),
    Tmpfs(Tmpfs),
}

pub(super) fn mount(text: &str) -> Result<Mount, String> {
    const FORM: &str = "the form is type=bind,source=HOSTPATH,target=PATH[,readonly], with \
        type=volume,source=NAME for a volume";
    let (mut kind, mut source, mut target) = ("bind", None, None);
    let mut options = Vec::new();
    for field in text.split(',') {
        match field.split_once('=').unwrap_or((field, "")) {
            ("type", value) => kind = value,
            ("source" | "src", value) => source = Some(value),
            ("target" | "dst" | "destination", value) => target = Some(value),
            ("readonly" | "ro", "" | "true" | "1") => options.push("ro".to_owned()),
            ("readonly" | "ro", "false" | "0") => {}
            ("volume-nocopy", "" | "true" | "1") => options.push("nocopy".to_owned()),
            ("volume-nocopy", "false" | "0") => {}
            ("bind-propagation", value) => options.push(value.to_owned()),
            ("tmpfs-size", value) => options.push(format!("size={}", bytes(value)?)),
            ("tmpfs-mode", value) => options.push(format!("mode={value}")),
            (name, _) => return Err(format!("unknown field `{name}`; {FORM}")),
        }
    }
    let target = target.filter(|path| path.starts_with('/'));
    let target = target.ok_or_else(|| format!("target must be an absolute path; {FORM}"))?;
    match (kind, source) {
        ("tmpfs", None) => Ok(Mount::Tmpfs(Tmpfs {
            destination: target.into(),
            options,
        })),
        ("bind", Some(source)) => {
            options.iter().try_for_each(|option| mount_option(option))?;
            Ok(Mount::Bind(Volume {
                source: source.into(),
                destination: target.into(),
                options,
            }))
        }
        ("bind", None) => Err(format!("source is missing; {FORM}")),
        ("volume", Some(path)) if path.contains('/') || path.starts_with('.') => {
            Err(format!("`{path}` is no name of a volume; {FORM}"))
        }
        ("volume", source) => {
            options.iter().try_for_each(|option| mount_option(option))?;
            Ok(Mount::Bind(Volume {
                source: source.unwrap_or_default().into(),
                destination: target.into(),
                options,
            }))
        }
        ("tmpfs", Some(_)) => Err("a tmpfs has no source".to_owned()),
        _ => Err(format!("type `{kind}` is not built yet; {FORM}")),
    }
}

/// `--secret FILE`, or `id=NAME,src=FILE`.
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    const FORM: &str = "the form is FILE or id=NAME,src=FILE";
    let (mut id, mut source) = (None, None);
    match text.contains('=') {
        false => source = Some(text),
        true => {
            for field in text.split(',') {
                match field.split_once('=').ok_or(FORM)? {
                    ("id", value) => id = Some(value),
                    ("src" | "source", value) => source = Some(value),
                    ("type", "file") => {}
                    (name, _) => return Err(format!("unknown field `{name}`; {FORM}")),
                }
            }
        }
    }
    let source = source.filter(|source| !source.is_empty()).ok_or(FORM)?;
    let last = std::path::Path::new(source).file_name();
    let id = id.or_else(|| last?.to_str()).ok_or(FORM)?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if id.is_empty() || id.starts_with('.') || !id.bytes().all(is_plain) {
        return Err(format!(
            "`{id}` cannot be the name of a secret: letters, digits, `.`, `_` and `-`"
        ));
    }
    Ok(Secret {
        id: id.to_owned(),
        source: source.into(),
    })
}

/// `--device HOST[:PATH[:rwm]]`.
pub(super) fn device(text: &str) -> Result<DeviceMapping, String> {
    const FORM: &str = "the form is /dev/HOST[:PATH[:rwm]]";
    let mut parts = text.splitn(3, ':');
    let host = parts
        .next()
        .filter(|path| path.starts_with('/'))
        .ok_or(FORM)?;
    let is_access = |text: &str| !text.is_empty() && text.bytes().all(|it| b"rwm".contains(&it));
    let (guest, access) = match (parts.next(), parts.next()) {
        (Some(access), None) if is_access(access) => (host, access),
        (guest, access) => (guest.unwrap_or(host), access.unwrap_or("rwm")),
    };
    if !guest.starts_with('/') || !is_access(access) {
        return Err(FORM.to_owned());
    }
    Ok(DeviceMapping {
        host: host.into(),
        guest: guest.into(),
        access: access.to_owned(),
    })
}

/// `--add-host NAME:ADDRESS`; an address of version 6 may stand in brackets.
pub(super) fn host(text: &str) -> Result<(String, String), String> {
    const FORM: &str = "the form is NAME:ADDRESS, for example db:10.0.0.2";
    let (name, address) = text.split_once([':', '=']).ok_or(FORM)?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address: std::net::IpAddr = address.parse().map_err(|_unread| FORM.to_owned())?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_plain) {
        return Err(FORM.to_owned());
    }
    Ok((name.to_owned(), address.to_string()))
}

/// `--sysctl NAME=VALUE`.
pub(super) fn sysctl(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("the form is NAME=VALUE, for example net.core.somaxconn=1024".to_owned()),
    }
}

/// A size, or -1 for none.
pub(super) fn bytes_or_unlimited(text: &str) -> Result<i64, String> {
    match text {
        "-1" => Ok(-1),
        _ => i64::try_from(bytes(text)?).map_err(|_large| "the size is too large".to_owned()),
    }
}

/// A list of processors: `0-2,4`.
pub(super) fn processors(text: &str) -> Result<String, String> {
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    let is_part = |part: &str| match part.split_once('-') {
        Some((first, last)) => is_number(first) && is_number(last),
        None => is_number(part),
    };
    match text.split(',').all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("the form is 0-2,4".to_owned()),
    }
}

/// `--tmpfs PATH[:OPTIONS]`.
pub(super) fn tmpfs(text: &str) -> Result<Tmpfs, String> {
    let (path, options) = text.split_once(':').unwrap_or((text, ""));
    if !path.starts_with('/') {
        return Err("the form is PATH[:size=64m,mode=1777]".to_owned());
    }
    Ok(Tmpfs {
        destination: path.into(),
        options: comma_list(options),
    })
}

/// `NAME=SOFT[:HARD]`, as docker writes limits.
pub(super) fn resource_limit(text: &str) -> Result<Limit, String> {
    const FORM: &str = "the form is NAME=SOFT[:HARD], for example nofile=1024:4096";
    const NAMES: [&str; 16] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let (name, values) = text.split_once('=').ok_or(FORM)?;
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("rlimit_").unwrap_or(&name);
    if !NAMES.contains(&name) {
        return Err(format!("no limit `{name}`; there are {}", NAMES.join(", ")));
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => text.parse::<u64>().map_err(|_unread| FORM.to_owned()),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err(format!(
            "the soft limit {soft} is above the hard limit {hard}"
        ));
    }
    Ok(Limit {
        name: format!("RLIMIT_{}", name.to_ascii_uppercase()),
        soft,
        hard,
    })
}

/// `NAME=VALUE`; `NAME` alone takes the caller's value, and is left out if the caller has none.
pub(super) fn environment(text: &str) -> Result<Option<String>, String> {
    let (name, has_value) = match text.split_once('=') {
        Some((name, _)) => (name, true),
        None => (text, false),
    };
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("the form is NAME=VALUE, or NAME to pass the caller's value".to_owned());
    }
    if has_value {
        return Ok(Some(text.to_owned()));
    }
    Ok(std::env::var(name)
        .ok()
        .map(|value| format!("{name}={value}")))
}

/// A signal by name or number.
pub(super) fn signal(text: &str) -> Result<i32, String> {
    insula_node::oci::parse_signal(text)
}

/// A restart policy as docker writes it.
pub(super) fn restart(text: &str) -> Result<RestartPolicy, String> {
    text.parse::<RestartPolicy>().map_err(|error| {
        let hint = error.hint_text().unwrap_or_default();
        format!("{error}; use {hint}")
    })
}

/// A duration as docker writes it: `1m30s`, `500ms`, `2h`; 0 alone. In milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let wrong = || format!("`{text}` is no duration; write 30s, 1m30s or 500ms");
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let end = rest
            .find(|letter: char| !letter.is_ascii_digit())
            .ok_or_else(wrong)?;
        let number: u64 = rest[..end].parse().map_err(|_error| wrong())?;
        let (unit, factor) = UNITS
            .into_iter()
            .find(|(unit, _)| rest[end..].starts_with(unit))
            .ok_or_else(wrong)?;
        let part = number.checked_mul(factor).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[end + unit.len()..];
    }
    if text.is_empty() {
        Err(wrong())
    } else {
        Ok(total)
    }
}

/// Keys that are typed one after the other: `ctrl-p,ctrl-q`, or single characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys(pub(super) Vec<u8>);

/// The value of `--detach-keys`; empty for none.
pub(super) fn keys(text: &str) -> Result<Keys, String> {
    let key = |word: &str| -> Option<u8> {
        match (word.strip_prefix("ctrl-"), word.as_bytes()) {
            (Some(letter), _) => match letter.as_bytes() {
                [letter @ (b'a'..=b'z' | b'@'..=b'_')] => Some(letter & 0x1f),
                _ => None,
            },
            (None, [letter @ 0x20..0x7f]) => Some(*letter),
            _ => None,
        }
    };
    let words = text.split(',').filter(|word| !word.is_empty());
    let keys: Option<Vec<u8>> = words.map(key).collect();
    keys.map(Keys)
        .ok_or_else(|| "write keys as ctrl-p,ctrl-q or single characters".to_owned())
}

/// The lines of an environment file: `NAME=VALUE` or `NAME`; empty lines and `#` lines are skipped.
pub(super) fn environment_file(text: &str) -> Result<Vec<String>, (usize, String)> {
    let mut variables = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        variables.extend(environment(line).map_err(|reason| (index + 1, reason))?);
    }
    Ok(variables)
}

/// `NAME=VALUE`, or `NAME` for an empty value.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').unwrap_or((text, "")) {
        ("", _) => Err("the form is NAME=VALUE".to_owned()),
        (name, value) => Ok((name.to_owned(), value.to_owned())),
    }
}

fn comma_list(text: &str) -> Vec<String> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
