//! The forms of flag values, right and wrong.

use std::path::PathBuf;

use super::*;

#[test]
fn sizes_have_binary_units() {
    assert_eq!(bytes("512m"), Ok(512 << 20));
    assert_eq!(bytes("1.5G"), Ok(3 << 29));
    assert_eq!(bytes("1048576"), Ok(1 << 20));
    assert_eq!(bytes("64KiB"), Ok(64 << 10));
    assert_eq!(bytes("10b"), Ok(10));
    for wrong in ["", "m", "1x", "1.2.3", "-1", "99999999999999t"] {
        assert!(bytes(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn processors_are_counted_in_thousandths() {
    assert_eq!(cpus("1.5"), Ok(1500));
    assert_eq!(cpus(".25"), Ok(250));
    for wrong in ["0", "", "two", "1e3"] {
        assert!(cpus(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_volume_is_source_destination_options() {
    let volume = volume("/srv:/data:ro,nosuid").unwrap();
    assert_eq!(volume.destination, PathBuf::from("/data"));
    assert_eq!(volume.options, ["ro", "nosuid"]);
    for wrong in ["srv", "/srv:data", "a/b:/data", "/a:/b:sideways"] {
        assert!(super::volume(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_mount_is_fields() {
    let bind = mount("type=bind,source=/a,target=/b,readonly").unwrap();
    assert!(matches!(bind, Mount::Bind(volume) if volume.options == ["ro"]));
    let memory = mount("type=tmpfs,target=/t,tmpfs-size=1m").unwrap();
    assert!(matches!(memory, Mount::Tmpfs(tmpfs) if tmpfs.options == ["size=1048576"]));
    for wrong in [
        "type=bind,target=/b",
        "type=volume,source=a/b,target=/b",
        "source=/a",
        "x=y",
    ] {
        assert!(mount(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_limit_is_named_and_soft_is_not_above_hard() {
    let limit = resource_limit("nofile=1024:4096").unwrap();
    assert_eq!(
        (limit.name.as_str(), limit.soft, limit.hard),
        ("RLIMIT_NOFILE", 1024, 4096)
    );
    assert_eq!(
        resource_limit("core=-1").map(|limit| limit.hard),
        Ok(u64::MAX)
    );
    for wrong in ["nofile", "files=1", "nofile=2:1", "nofile=x"] {
        assert!(resource_limit(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn environment_comes_from_flags_and_files() {
    assert_eq!(environment("A=b=c"), Ok(Some("A=b=c".into())));
    assert_eq!(environment("INSULA_SURELY_NOT_SET"), Ok(None));
    assert!(environment("=x").is_err());
    let file = "# comment\n\nA=1\n  B=two words\n";
    assert_eq!(
        environment_file(file),
        Ok(vec!["A=1".into(), "B=two words".into()])
    );
    assert_eq!(
        environment_file("A=1\nno good=1").map_err(|(line, _)| line),
        Err(2)
    );
}

#[test]
fn durations_and_keys_are_those_of_docker() {
    assert_eq!(milliseconds("1m30s"), Ok(90_000));
    assert_eq!(milliseconds("500ms"), Ok(500));
    assert_eq!(milliseconds("0"), Ok(0));
    for wrong in ["", "5", "s", "-1s", "1x", "99999999999999999999h"] {
        assert!(milliseconds(wrong).is_err(), "{wrong}");
    }
    assert_eq!(keys("ctrl-p,ctrl-q"), Ok(Keys(vec![0x10, 0x11])));
    assert_eq!(keys("ctrl-],q"), Ok(Keys(vec![0x1d, b'q'])));
    assert_eq!(keys(""), Ok(Keys(Vec::new())));
    assert!(keys("ctrl-").is_err() && keys("alt-x").is_err());
}

#[test]
fn secrets_devices_and_hosts() {
    let secret = |text: &str| secret(text).map(|it| (it.id, it.source.display().to_string()));
    let of = |id: &str, source: &str| Ok((id.to_owned(), source.to_owned()));
    assert_eq!(secret("/etc/key.pem"), of("key.pem", "/etc/key.pem"));
    assert_eq!(secret("type=file,id=a,src=b"), of("a", "b"));
    for wrong in [
        "",
        "id=a",
        "id=../a,src=b",
        "id=a,env=B",
        "src=/",
        "id=,src=a",
    ] {
        assert!(secret(wrong).is_err(), "{wrong}");
    }
    let device = |text: &str| {
        let it = device(text)?;
        Ok::<_, String>((
            it.host.display().to_string(),
            it.guest.display().to_string(),
            it.access,
        ))
    };
    let of = |host: &str, guest: &str, access: &str| {
        Ok((host.to_owned(), guest.to_owned(), access.to_owned()))
    };
    assert_eq!(device("/dev/a"), of("/dev/a", "/dev/a", "rwm"));
    assert_eq!(device("/dev/a:r"), of("/dev/a", "/dev/a", "r"));
    assert_eq!(device("/dev/a:/dev/b"), of("/dev/a", "/dev/b", "rwm"));
    assert_eq!(device("/dev/a:/dev/b:rw"), of("/dev/a", "/dev/b", "rw"));
    for wrong in ["", "dev/a", "/dev/a:b", "/dev/a:/dev/b:x"] {
        assert!(device(wrong).is_err(), "{wrong}");
    }
    assert_eq!(host("a:::1"), Ok(("a".to_owned(), "::1".to_owned())));
    assert_eq!(host("a:[::1]"), Ok(("a".to_owned(), "::1".to_owned())));
    for wrong in ["a", "a:b", ":1.2.3.4", "a\nb:1.2.3.4"] {
        assert!(host(wrong).is_err(), "{wrong}");
    }
    assert!(processors("0-2,4").is_ok() && processors("0-").is_err() && processors("").is_err());
    assert_eq!(bytes_or_unlimited("-1"), Ok(-1));
}

#[test]
fn volumes_have_names_paths_or_neither() {
    let name = |text: &str| volume(text).map(|it| it.name().map(str::to_owned));
    assert_eq!(name("data:/x"), Ok(Some("data".to_owned())));
    assert_eq!(name("/x"), Ok(None));
    assert!(volume("/x").unwrap().is_named());
    assert!(!volume("./d:/x").unwrap().is_named());
    assert!(volume("x").is_err() && volume("data:x").is_err());
    let parsed = mount("type=volume,target=/x,volume-nocopy").unwrap();
    let Mount::Bind(own) = parsed else {
        panic!("a volume is mounted like a path");
    };
    assert!(own.is_named() && own.options == ["nocopy"]);
    assert!(mount("type=volume,source=./a,target=/x").is_err());
}
