//! Files as docker and podman write them. Helpers are tested through `insula login`, whose PATH a
//! test can set.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn password(username: &str, password: &str) -> Credential {
    Credential::Password {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

fn file(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn entries_of_docker_and_podman_are_found() {
    let directory = tempfile::tempdir().unwrap();
    let auth = BASE64_STANDARD.encode("me:pass:word");
    let text = format!(
        r#"{{"auths": {{
            "https://index.docker.io/v1/": {{"auth": "{auth}"}},
            "localhost:5000": {{"username": "a", "password": "b"}},
            "localhost:5000/team": {{"username": "team", "password": "b"}},
            "https://old.example/v2/": {{"identitytoken": "long"}},
            "empty.example": {{}}}}, "detachKeys": "ctrl-a"}}"#
    );
    let credentials = Credentials::in_file(&file(directory.path(), "c", &text));
    let find = |host: &str, path: &str| credentials.find(host, path).unwrap();
    let docker = Some(password("me", "pass:word"));
    assert_eq!(find("docker.io", "library/debian"), docker);
    assert_eq!(find("registry-1.docker.io", "library/debian"), docker);
    assert_eq!(find("localhost:5000", "x"), Some(password("a", "b")));
    assert_eq!(find("localhost:5000", "teams/x"), Some(password("a", "b")));
    assert_eq!(
        find("localhost:5000", "team/x"),
        Some(password("team", "b"))
    );
    let token = Some(Credential::IdentityToken("long".to_owned()));
    assert_eq!(find("old.example", "x"), token);
    assert_eq!(find("empty.example", "x"), None);
    assert_eq!(find("localhost:5001", "x"), None);
}

#[test]
fn the_first_file_that_knows_wins() {
    let directory = tempfile::tempdir().unwrap();
    let of = |name: &str, text: &str| file(directory.path(), name, text);
    let credentials = Credentials {
        readable: vec![
            directory.path().join("absent"),
            of("empty", ""),
            of("one", r#"{"auths":{"a":{"username":"1","password":"x"}}}"#),
            of(
                "two",
                r#"{"auths":{"a":{"username":"2","password":"x"},"b":{"username":"2","password":"x"}}}"#,
            ),
        ],
        writable: None,
    };
    assert_eq!(
        credentials.find("a", "p").unwrap(),
        Some(password("1", "x"))
    );
    assert_eq!(
        credentials.find("b", "p").unwrap(),
        Some(password("2", "x"))
    );
    assert!(credentials.store("a", &password("u", "p")).is_err());
}

#[test]
fn storing_keeps_the_rest_and_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(
        directory.path(),
        "config.json",
        r#"{"auths":{"a":{"auth":"eDp5"}},"proxies":{"x":1}}"#,
    );
    let credentials = Credentials::in_file(&path);
    credentials
        .store("docker.io", &password("me", "secret"))
        .unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    let document = read(&path).unwrap();
    assert_eq!(document["proxies"]["x"], 1);
    assert!(document["auths"][DOCKER_KEY]["auth"].is_string());
    assert_eq!(
        credentials.find("docker.io", "x").unwrap(),
        Some(password("me", "secret"))
    );
    assert_eq!(
        credentials.erase("docker.io").unwrap(),
        [Keeper::File(path.clone())]
    );
    assert!(credentials.erase("docker.io").unwrap().is_empty());
    assert_eq!(
        credentials.find("a", "x").unwrap(),
        Some(password("x", "y"))
    );
    let names = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 1, "no temporary file is left");
}

#[test]
fn malformed_files_are_named_without_their_content() {
    let directory = tempfile::tempdir().unwrap();
    for text in ["{secret", "[1]", r#"{"auths":{"a":{"auth":"c2VjcmV0"}}}"#] {
        let path = file(directory.path(), "bad", text);
        let error = Credentials::in_file(&path)
            .find("a", "x")
            .unwrap_err()
            .chain();
        assert!(
            error.contains("bad") && !error.contains("secret"),
            "{error}"
        );
    }
    assert!(!format!("{:?}", password("me", "secret")).contains("secret"));
}
