//! `/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname` of a container.

use super::options::Network;

/// The files, by name and content.
pub(crate) fn make(network: Network, hostname: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hosts = match network {
        Network::None => None,
        Network::Host => std::fs::read("/etc/hosts").ok(),
    };
    let resolver = match network {
        // Nobody can be asked: programs shall learn that at once and not after a timeout.
        Network::None => b"# This container has no network.\n".to_vec(),
        Network::Host => std::fs::read("/etc/resolv.conf").unwrap_or_default(),
    };
    vec![
        ("hosts", hosts.unwrap_or_else(|| own_hosts(hostname))),
        ("resolv.conf", resolver),
        ("hostname", format!("{hostname}\n").into_bytes()),
    ]
}

fn own_hosts(hostname: &str) -> Vec<u8> {
    format!(
        "127.0.0.1\tlocalhost {hostname}\n\
         ::1\tlocalhost ip6-localhost ip6-loopback {hostname}\n\
         fe00::\tip6-localnet\nff00::\tip6-mcastprefix\n\
         ff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
    )
    .into_bytes()
}
