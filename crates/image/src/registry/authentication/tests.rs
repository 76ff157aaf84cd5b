//! Headers as registries send them, and as nobody should.

use super::*;

fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
    Challenge::Bearer {
        realm: realm.to_owned(),
        service: service.map(str::to_owned),
        scope: scope.map(str::to_owned),
    }
}

#[test]
fn challenges_of_real_registries() {
    let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push""#;
    assert_eq!(
        parse_challenges(hub),
        [bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/debian:pull,push")
        )]
    );
    assert_eq!(
        parse_challenges(r#"Basic realm="x, y=\"z\"""#),
        [Challenge::Basic]
    );
    let both =
        r#"Negotiate, Basic realm="a" , bEaReR realm = "r", service=s, error="invalid_token""#;
    assert_eq!(
        parse_challenges(both),
        [Challenge::Basic, bearer("r", Some("s"), None)]
    );
}

#[test]
fn nonsense_gives_nothing_and_ends() {
    for text in [
        "",
        ",,,",
        "Bearer",
        "Bearer realm",
        "=",
        "\"",
        "Bearer realm=\"",
        "é=\"ü",
        "Digest a=b",
    ] {
        let found = parse_challenges(text);
        let is_empty_realm = |challenge: &Challenge| *challenge == bearer("", None, None);
        assert!(found.iter().all(is_empty_realm), "{text}: {found:?}");
    }
}

#[test]
fn scopes_are_asked_for_once() {
    let scope = |repository: &str, actions| Scope {
        repository: repository.to_owned(),
        actions,
    };
    let needed = [scope("a", "pull,push"), scope("b", "pull")];
    assert_eq!(
        wanted_scopes(&needed, Some("repository:a:pull registry:catalog:*")),
        [
            "repository:a:pull,push",
            "repository:b:pull",
            "registry:catalog:*"
        ]
    );
}

#[test]
fn tokens_are_asked_for_by_what_is_known() {
    let scopes = [
        "repository:a:pull".to_owned(),
        "repository:b:pull".to_owned(),
    ];
    let password = Credential::Password {
        username: "m&e".to_owned(),
        password: "p".to_owned(),
    };
    assert_eq!(
        token_request("https://t/x?y=1", Some("s s"), &scopes, Some(&password)),
        TokenRequest::Get {
            address: "https://t/x?y=1&service=s%20s&scope=repository:a:pull\
                      &scope=repository:b:pull&account=m%26e"
                .to_owned(),
            basic: Some(basic("m&e", "p")),
        }
    );
    let identity = Credential::IdentityToken("long".to_owned());
    assert_eq!(
        token_request("https://t", Some("s"), &scopes, Some(&identity)),
        TokenRequest::Post {
            address: "https://t".to_owned(),
            form: "grant_type=refresh_token&service=s&client_id=insula\
                   &scope=repository:a:pull%20repository:b:pull&refresh_token=long"
                .to_owned(),
        }
    );
}

#[test]
fn tokens_end_before_their_time_and_strange_ones_are_refused() {
    let sessions = Sessions::default();
    let proof = Proof::from_answer(br#"{"access_token":"abc","expires_in":300}"#).unwrap();
    sessions.keep("h", &[], proof);
    assert_eq!(sessions.header("h", &[]).as_deref(), Some("Bearer abc"));
    assert_eq!(sessions.header("other", &[]), None);
    let short = Proof::from_answer(br#"{"token":"abc","expires_in":0}"#).unwrap();
    sessions.keep("h", &[], short);
    assert_eq!(sessions.header("h", &[]), None);
    for strange in [
        &br#"{}"#[..],
        b"[]",
        br#"{"token":""}"#,
        br#"{"token":"a\r\nb: c"}"#,
    ] {
        assert!(Proof::from_answer(strange).is_none());
    }
}
