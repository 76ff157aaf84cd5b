//! Registries that want TLS, a password, or a token.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use insula_image::Kind;
use insula_image::registry::{Client, ClientOptions, Credential, Credentials};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use crate::fault::{Fault, Proxy, Request, answer, proxy};
use crate::harness::{
    Packing, Registry, Setup, TestStore, Tls, client, client_with, image, layer, peer, run,
};

fn password(username: &str, password: &str) -> Credential {
    Credential::Password {
        username: username.to_owned(),
        password: password.to_owned(),
    }
}

/// A registry with TLS and the users of htpasswd; `me` has the password `secret`.
fn with_password(tls: Option<&Tls>, work: &std::path::Path) -> Registry {
    let line = run(Command::new(peer("htpasswd")).args(["-Bbn", "me", "secret"])).stdout;
    let file = work.join("htpasswd");
    fs::write(&file, line).unwrap();
    Registry::start(&Setup {
        tls: tls.and_then(Tls::server),
        auth: Some(json!({"htpasswd": {"realm": "test", "path": file}})),
    })
}

fn trusting(tls: &Tls) -> ClientOptions {
    ClientOptions {
        certificates: Some(tls.path("certs")),
        ..ClientOptions::default()
    }
}

#[test]
fn an_own_authority_is_trusted_only_where_it_was_put() {
    let tls = Tls::new();
    let registry = Registry::start(&Setup {
        tls: tls.server(),
        auth: None,
    });
    let (store, name) = (TestStore::new(), registry.name("a:1"));
    let manifest = image(&store, "a", vec![layer(1, 3_000_000, Packing::Gzip)]);
    let trusting_client = client_with(trusting(&tls));
    assert_eq!(
        store.push(&trusting_client, "a", &name).unwrap().digest,
        manifest
    );
    let other = TestStore::new();
    assert_eq!(
        other.pull(&trusting_client, &name).unwrap().manifest,
        manifest
    );

    let error = TestStore::new().pull(&client(), &name).unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.chain().contains("certificate"), "{}", error.chain());
    assert!(error.hint_text().unwrap().contains("certs.d"));
    let careless = client_with(ClientOptions {
        tls_verify: Some(false),
        ..ClientOptions::default()
    });
    assert!(TestStore::new().pull(&careless, &name).is_ok());
}

#[test]
fn a_certificate_that_is_its_own_authority_is_trusted_where_it_was_put() {
    // What the documentation of docker-registry tells users to make.
    let tls = Tls::new();
    run(Command::new(peer("openssl"))
        .current_dir(&tls.directory)
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=own",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            "own.key",
            "-out",
            "own.pem",
        ]));
    let registry = Registry::start(&Setup {
        tls: Some((tls.path("own.pem"), tls.path("own.key"))),
        auth: None,
    });
    let (store, name) = (TestStore::new(), registry.name("a:1"));
    image(&store, "a", vec![layer(1, 100, Packing::Gzip)]);
    let trusts = trusting(&tls);
    assert!(
        store
            .push(&client_with(trusts.clone()), "a", &name)
            .is_err()
    );
    fs::copy(tls.path("own.pem"), tls.path("certs/own.crt")).unwrap();
    store.push(&client_with(trusts), "a", &name).unwrap();
}

#[test]
fn plain_http_is_refused_where_it_was_not_allowed() {
    let registry = Registry::plain();
    let strict = client_with(ClientOptions {
        tls_verify: Some(true),
        retries: 0,
        ..ClientOptions::default()
    });
    let error = TestStore::new()
        .pull(&strict, &registry.name("a:1"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{}", error.chain());
}

#[test]
fn a_client_certificate_is_shown() {
    let tls = Tls::new();
    let registry = Registry::start(&Setup {
        tls: tls.server(),
        auth: None,
    });
    // The pair is checked before it is used, and a wrong one is named.
    fs::copy(tls.path("server.pem"), tls.path("certs/client.cert")).unwrap();
    fs::copy(tls.path("ca.key"), tls.path("certs/client.key")).unwrap();
    let error = TestStore::new()
        .pull(&client_with(trusting(&tls)), &registry.name("a:1"))
        .unwrap_err();
    assert!(error.chain().contains("client.key"), "{}", error.chain());
    fs::copy(tls.path("server.key"), tls.path("certs/client.key")).unwrap();
    let error = TestStore::new()
        .pull(&client_with(trusting(&tls)), &registry.name("a:1"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound, "{}", error.chain());
}

#[test]
fn a_password_is_asked_for_and_sent() {
    let work = tempfile::tempdir().unwrap();
    let tls = Tls::new();
    let registry = with_password(Some(&tls), work.path());
    let (store, name) = (TestStore::new(), registry.name("a:1"));
    image(&store, "a", vec![layer(1, 100_000, Packing::Gzip)]);
    let anonymous = client_with(trusting(&tls));
    let error = store.push(&anonymous, "a", &name).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    let hint = format!("log in: insula login {}", registry.address);
    assert_eq!(error.hint_text(), Some(&*hint));

    let login =
        |credential| Client::new(trusting(&tls)).check_login(&registry.address, &credential);
    let wrong = login(password("me", "wrong")).unwrap_err();
    assert_eq!(wrong.kind(), Kind::Denied);
    login(password("me", "secret")).unwrap();

    let credentials = Credentials::in_file(&work.path().join("auth.json"));
    credentials
        .store(&registry.address, &password("me", "secret"))
        .unwrap();
    let known = client_with(ClientOptions {
        credentials,
        ..trusting(&tls)
    });
    store.push(&known, "a", &name).unwrap();
    TestStore::new().pull(&known, &name).unwrap();
}

/// Signs tokens for docker-registry as an authority whose certificate it has.
struct TokenServer {
    proxy: Proxy,
    asked: Arc<Mutex<Vec<Request>>>,
}

/// Users: nobody may pull from `public`, `me:secret` and the identity token `long` may do all.
fn token_server(tls: &Tls, service: &'static str) -> TokenServer {
    let key = run(Command::new(peer("openssl"))
        .args(["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"])
        .arg(tls.path("ca.key")))
    .stdout;
    let certificate = fs::read_to_string(tls.path("ca.pem")).unwrap();
    let body = certificate
        .lines()
        .filter(|line| !line.starts_with("-----"));
    let certificate: String = body.collect();
    let random = ring::rand::SystemRandom::new();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random).unwrap();
    let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
    let noted = Arc::clone(&asked);
    let proxy = proxy(None, move |request, _| {
        noted.lock().unwrap().push(request.clone());
        token_answer(request, service, &certificate, &pair, &random)
    });
    TokenServer { proxy, asked }
}

fn token_answer(
    request: &Request,
    service: &str,
    certificate: &str,
    pair: &EcdsaKeyPair,
    random: &ring::rand::SystemRandom,
) -> Fault {
    let expected = format!("Basic {}", BASE64_STANDARD.encode("me:secret"));
    let authorization = request.header("authorization");
    // The form of a POST is not read here: only the identity token is asked for by POST.
    let by_post = request.line.starts_with("POST");
    let is_known = authorization == Some(&*expected) || by_post;
    if authorization.is_some() && !is_known {
        return answer("401 Unauthorized", &[], "{}");
    }
    let path = request.line.split(' ').nth(1).unwrap();
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let access: Vec<Value> = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("scope=repository:"))
        .filter_map(|scope| scope.rsplit_once(':'))
        .map(|(name, actions)| {
            let actions: Vec<&str> = match (is_known, name) {
                (true, _) => actions.split(',').collect(),
                (false, "public") => vec!["pull"],
                _ => Vec::new(),
            };
            json!({"type": "repository", "name": name, "actions": actions})
        })
        .collect();
    let access = if by_post {
        vec![json!({"type": "repository", "name": "private", "actions": ["pull"]})]
    } else {
        access
    };
    let now = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .as_secs();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [certificate]});
    let claims = json!({"iss": "test", "sub": "", "aud": service, "exp": now + 300,
        "nbf": now - 10, "iat": now, "jti": "1", "access": access});
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = pair.sign(random, signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    answer(
        "200 OK",
        &[],
        &json!({"token": token, "expires_in": 300}).to_string(),
    )
}

#[test]
fn a_token_is_fetched_kept_and_enough() {
    let tls = Tls::new();
    let server = token_server(&tls, "registry.test");
    let registry = Registry::start(&Setup {
        tls: None,
        auth: Some(json!({"token": {
            "realm": format!("http://{}/token", server.proxy.address),
            "service": "registry.test", "issuer": "test", "rootcertbundle": tls.path("ca.pem"),
        }})),
    });
    let work = tempfile::tempdir().unwrap();
    let credentials = Credentials::in_file(&work.path().join("auth.json"));
    credentials
        .store(&registry.address, &password("me", "secret"))
        .unwrap();
    let known = |credentials| {
        client_with(ClientOptions {
            credentials,
            ..ClientOptions::default()
        })
    };
    let store = TestStore::new();
    let layers = (1..6)
        .map(|seed| layer(seed, 20_000, Packing::Gzip))
        .collect();
    image(&store, "a", layers);
    for name in ["public", "private"] {
        store
            .push(&known(credentials.clone()), "a", &registry.name(name))
            .unwrap();
    }
    // One token for the repository, one more for the mounts from `public`: not one per request.
    let count = server.asked.lock().unwrap().len();
    assert!(count <= 10, "{count} tokens");

    let anonymous = client();
    let before = server.asked.lock().unwrap().len();
    TestStore::new()
        .pull(&anonymous, &registry.name("public"))
        .unwrap();
    let asked = server.asked.lock().unwrap()[before..].to_vec();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert!(
        asked[0].line.contains("scope=repository:public:pull"),
        "{asked:?}"
    );
    assert!(asked[0].header("authorization").is_none());
    let error = TestStore::new()
        .pull(&anonymous, &registry.name("private"))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Denied, "{}", error.chain());

    let identity = Credentials::in_file(&work.path().join("identity.json"));
    let token = Credential::IdentityToken("long".to_owned());
    identity.store(&registry.address, &token).unwrap();
    TestStore::new()
        .pull(&known(identity), &registry.name("private"))
        .unwrap();
    let last = server.asked.lock().unwrap().last().unwrap().clone();
    assert!(last.line.starts_with("POST /token "), "{last:?}");
    let wrong = password("me", "wrong");
    let refused = Client::new(ClientOptions::default()).check_login(&registry.address, &wrong);
    assert_eq!(refused.unwrap_err().kind(), Kind::Denied);
}
