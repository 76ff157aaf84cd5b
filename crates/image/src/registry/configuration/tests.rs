//! Short names, rewritten names, mirrors, and files that are refused.

use super::*;

fn configuration(text: &str) -> Configuration {
    let mut configuration = Configuration::default();
    configuration.add(text).unwrap();
    configuration
}

fn candidates(configuration: &Configuration, name: &str) -> Vec<String> {
    let found = configuration.candidates(&name.parse().unwrap()).unwrap();
    found.iter().map(ToString::to_string).collect()
}

fn endpoints(configuration: &Configuration, name: &str) -> Vec<(String, bool)> {
    let found = configuration.endpoints(&name.parse().unwrap()).unwrap();
    let place = |end: &Endpoint| (format!("{}/{}", end.host, end.path), end.insecure);
    found.iter().map(place).collect()
}

#[test]
fn without_configuration_a_short_name_is_docker_s() {
    let none = Configuration::default();
    assert_eq!(
        candidates(&none, "debian:12"),
        ["docker.io/library/debian:12"]
    );
    assert_eq!(candidates(&none, "team/app"), ["docker.io/team/app:latest"]);
    assert_eq!(
        candidates(&none, "docker.io/debian:1"),
        ["docker.io/library/debian:1"]
    );
    assert_eq!(
        candidates(&none, "localhost:5000/a:1"),
        ["localhost:5000/a:1"]
    );
    assert_eq!(
        endpoints(&none, "docker.io/library/debian:12"),
        [("registry-1.docker.io/library/debian".to_owned(), false)]
    );
}

#[test]
fn search_registries_and_aliases() {
    let text = "unqualified-search-registries = ['quay.io', 'localhost:5000']\n\
                short-name-mode = 'enforcing'\n\
                [aliases]\n\"fedora\" = \"registry.fedoraproject.org/fedora\"\n";
    let configuration = configuration(text);
    assert_eq!(
        candidates(&configuration, "app:1"),
        ["quay.io/app:1", "localhost:5000/app:1"]
    );
    assert_eq!(
        candidates(&configuration, "fedora:40"),
        ["registry.fedoraproject.org/fedora:40"]
    );
}

#[test]
fn the_longest_prefix_rewrites_the_name() {
    let configuration = configuration(
        "[[registry]]\nprefix = 'example.com/foo'\nlocation = 'internal.example/bar'\n\
         [[registry]]\nlocation = 'example.com'\ninsecure = true\n\
         [[registry]]\nprefix = '*.wild.example'\ninsecure = true\n\
         [[registry.mirror]]\nlocation = 'mirror.example/wild'\n",
    );
    let place = |name: &str| endpoints(&configuration, name);
    assert_eq!(
        place("example.com/foo/app:1"),
        [("internal.example/bar/app".to_owned(), false)]
    );
    assert_eq!(
        place("example.com/foobar:1"),
        [("example.com/foobar".to_owned(), true)]
    );
    assert_eq!(place("other.com/a:1"), [("other.com/a".to_owned(), false)]);
    assert_eq!(
        place("a.wild.example/x:1").last().unwrap().0,
        "a.wild.example/x"
    );
    assert!(configuration.is_insecure("example.com"));
    assert!(!configuration.is_insecure("example.org"));
}

#[test]
fn mirrors_come_first_and_may_serve_one_kind_of_name() {
    let configuration = configuration(
        "[[registry]]\nlocation = 'docker.io'\n\
         [[registry.mirror]]\nlocation = 'localhost:5000/hub'\ninsecure = true\n\
         [[registry.mirror]]\nlocation = 'digests.example'\npull-from-mirror = 'digest-only'\n",
    );
    let by_tag = endpoints(&configuration, "docker.io/library/debian:12");
    assert_eq!(
        by_tag,
        [
            ("localhost:5000/hub/library/debian".to_owned(), true),
            ("registry-1.docker.io/library/debian".to_owned(), false),
        ]
    );
    let digest = crate::digest::Digest::of(b"");
    let by_digest = endpoints(
        &configuration,
        &format!("docker.io/library/debian@{digest}"),
    );
    assert_eq!(by_digest[1].0, "digests.example/library/debian");
}

#[test]
fn a_blocked_registry_and_malformed_files_are_refused() {
    let blocked = configuration("[[registry]]\nlocation = 'bad.example'\nblocked = true\n");
    let error = blocked
        .endpoints(&"bad.example/a:1".parse().unwrap())
        .unwrap_err();
    assert!(error.to_string().contains("blocked"));
    for (text, part) in [
        ("\n[[registry]]\nlocation = 7\n", "line 3"),
        (
            "[registries.search]\nregistries = ['docker.io']\n",
            "version 1",
        ),
        ("[[registry]]\ninsecure = true\n", "no prefix"),
        (
            "[[registry]]\nlocation='a.b'\n[[registry.mirror]]\nlocation='https://x'\n",
            "mirror",
        ),
    ] {
        let error = Configuration::default().add(text).unwrap_err().chain();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_later_file_wins() {
    let mut configuration = configuration("unqualified-search-registries = ['a.example']\n");
    configuration
        .add("unqualified-search-registries = ['b.example']\n")
        .unwrap();
    configuration
        .add("[[registry]]\nlocation='b.example'\ninsecure=true\n")
        .unwrap();
    configuration
        .add("[[registry]]\nlocation='b.example'\ninsecure=false\n")
        .unwrap();
    assert_eq!(candidates(&configuration, "x"), ["b.example/x:latest"]);
    assert!(!configuration.is_insecure("b.example"));
}
