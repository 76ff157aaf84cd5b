//! `RUN --mount=type=…`: what a RUN sees beside its root.

use super::expand::Expander;

/// One mount of a RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub kind: MountKind,
    /// Relative ones are below the working directory.
    pub target: String,
    pub read_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountKind {
    /// Part of the context, or of a stage or image.
    Bind {
        from: Option<String>,
        source: String,
    },
    /// A directory that stays between builds.
    Cache {
        id: String,
        sharing: Sharing,
        mode: u32,
        uid: u32,
        gid: u32,
    },
    Tmpfs {
        size_bytes: Option<u64>,
    },
    /// A file that comes from outside and is in no layer.
    Secret {
        id: String,
        required: bool,
        mode: u32,
        uid: u32,
        gid: u32,
        /// Given as this variable; as a file, too, only with a target of its own.
        variable: Option<String>,
    },
}

/// Who else may use a cache at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    Shared,
    Locked,
}

/// The keys of a mount while it is read.
#[derive(Default)]
struct Keys {
    kind: Option<String>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    id: Option<String>,
    sharing: Option<String>,
    variable: Option<String>,
    read_only: Option<bool>,
    required: bool,
    size_bytes: Option<u64>,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Mount {
    /// From the value of `--mount`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut keys = Keys::default();
        for part in text.split(',') {
            keys.set(part)
                .map_err(|reason| format!("--mount={text}: {reason}"))?;
        }
        keys.finish()
            .map_err(|reason| format!("--mount={text}: {reason}"))
    }

    pub(super) fn expanded(&self, with: &Expander<'_>) -> Result<Self, String> {
        let mut mount = self.clone();
        mount.target = with.word(&self.target)?;
        match &mut mount.kind {
            MountKind::Bind { source, .. } => *source = with.word(source)?,
            MountKind::Cache { id, .. } | MountKind::Secret { id, .. } => *id = with.word(id)?,
            MountKind::Tmpfs { .. } => {}
        }
        Ok(mount)
    }
}

impl Keys {
    fn set(&mut self, part: &str) -> Result<(), String> {
        let (key, value) = match part.trim().trim_matches('"').split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (part.trim(), None),
        };
        let text = || match value {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(format!("`{key}` needs a value")),
        };
        let flag = || match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(format!("`{key}={other}` is neither true nor false")),
        };
        let number = |radix: u32| {
            let text = text()?;
            u32::from_str_radix(&text, radix).map_err(|_wrong| format!("`{text}` is not a number"))
        };
        match key.to_ascii_lowercase().as_str() {
            "type" => self.kind = Some(text()?),
            "from" => self.from = Some(text()?),
            "source" | "src" => self.source = Some(text()?),
            "target" | "dst" | "destination" => self.target = Some(text()?),
            "id" => self.id = Some(text()?),
            "sharing" => self.sharing = Some(text()?),
            "env" => self.variable = Some(text()?),
            "readonly" | "ro" => self.read_only = Some(flag()?),
            "readwrite" | "rw" => self.read_only = Some(!flag()?),
            "required" => self.required = flag()?,
            "size" => self.size_bytes = Some(size(&text()?)?),
            "mode" => self.mode = Some(number(8)?),
            "uid" => self.uid = Some(number(10)?),
            "gid" => self.gid = Some(number(10)?),
            _ => return Err(format!("there is no key `{key}`")),
        }
        Ok(())
    }

    fn finish(self) -> Result<Mount, String> {
        let kind = self.kind.as_deref().unwrap_or("bind");
        let target = || {
            let target = self.target.clone();
            target.ok_or_else(|| "target=PATH is missing".to_owned())
        };
        let (kind, target, read_only) = match kind {
            "bind" => {
                if self.read_only == Some(false) {
                    return Err(
                        "a writable bind mount is not supported; copy what is to be \
                         changed, or use type=cache"
                            .to_owned(),
                    );
                }
                let source = self.source.clone().unwrap_or_else(|| "/".to_owned());
                let from = self.from.clone();
                (MountKind::Bind { from, source }, target()?, true)
            }
            "cache" => (self.cache()?, target()?, self.read_only == Some(true)),
            "tmpfs" => {
                let size_bytes = self.size_bytes;
                (MountKind::Tmpfs { size_bytes }, target()?, false)
            }
            "secret" => {
                let (kind, target) = self.secret()?;
                (kind, target, true)
            }
            "ssh" => return Err("type=ssh is not supported; use type=secret".to_owned()),
            other => {
                return Err(format!(
                    "there is no type `{other}`: bind, cache, tmpfs and secret"
                ));
            }
        };
        Ok(Mount {
            kind,
            target,
            read_only,
        })
    }

    fn cache(&self) -> Result<MountKind, String> {
        if self.from.is_some() || self.source.is_some() {
            return Err("a cache that starts with files of a stage is not supported".to_owned());
        }
        let id = self.id.clone().or_else(|| self.target.clone());
        Ok(MountKind::Cache {
            id: id.unwrap_or_default(),
            sharing: match self.sharing.as_deref() {
                None | Some("shared") => Sharing::Shared,
                Some("locked") => Sharing::Locked,
                Some(other) => {
                    return Err(format!(
                        "sharing is shared or locked, `{other}` is not supported"
                    ));
                }
            },
            mode: self.mode.unwrap_or(0o755),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
        })
    }

    fn secret(&self) -> Result<(MountKind, String), String> {
        let of_target = || {
            let last = self.target.as_deref()?.rsplit('/').next()?;
            Some(last.to_owned())
        };
        let id = self.id.clone().or_else(of_target);
        let id = id.ok_or_else(|| "id=NAME is missing".to_owned())?;
        let default = match self.variable {
            Some(_) => String::new(),
            None => format!("/run/secrets/{id}"),
        };
        let kind = MountKind::Secret {
            id,
            required: self.required,
            mode: self.mode.unwrap_or(0o400),
            uid: self.uid.unwrap_or(0),
            gid: self.gid.unwrap_or(0),
            variable: self.variable.clone(),
        };
        Ok((kind, self.target.clone().unwrap_or(default)))
    }
}

/// A number of bytes with `k`, `m` or `g`.
fn size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix('b').unwrap_or(&lower);
    let (digits, shift) = match lower.strip_suffix(['k', 'm', 'g']) {
        Some(digits) if lower.ends_with('k') => (digits, 10),
        Some(digits) if lower.ends_with('m') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (lower, 0),
    };
    let number = digits.parse::<u64>().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| format!("`{text}` is not a number of bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let mount = Mount::parse("target=/a,source=x,from=build").unwrap();
        assert!(mount.read_only);
        assert_eq!(
            mount.kind,
            MountKind::Bind {
                from: Some("build".to_owned()),
                source: "x".to_owned()
            }
        );
        let mount = Mount::parse("type=cache,dst=/c,sharing=locked,mode=0700,uid=5").unwrap();
        let MountKind::Cache { id, mode, uid, .. } = mount.kind else {
            panic!("{mount:?}");
        };
        assert_eq!((id.as_str(), mode, uid), ("/c", 0o700, 5));
        let mount = Mount::parse("type=tmpfs,target=/t,size=2m").unwrap();
        let size_bytes = Some(2 << 20);
        assert_eq!(mount.kind, MountKind::Tmpfs { size_bytes });
        let mount = Mount::parse("type=secret,id=key,required").unwrap();
        assert_eq!(mount.target, "/run/secrets/key");
    }

    #[test]
    fn mistakes() {
        for (text, part) in [
            ("type=ssh", "ssh"),
            ("type=x", "no type `x`"),
            ("type=cache", "target"),
            ("type=bind,target=/a,rw", "writable"),
            ("type=bind,tgt=/a", "no key `tgt`"),
            ("type=tmpfs,target=/a,size=99999999999999999999", "bytes"),
            ("type=secret", "id=NAME"),
            ("target=/a,ro=maybe", "neither"),
        ] {
            let error = Mount::parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
