//! `/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname` of a container.

use super::options::{Network, RunOptions};

/// The files, by name and content.
pub(crate) fn make(options: &RunOptions, hostname: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hosts = match options.network {
        Network::None => None,
        Network::Host => std::fs::read("/etc/hosts").ok(),
    };
    let mut hosts = hosts.unwrap_or_else(|| own_hosts(hostname));
    for (name, address) in &options.hosts {
        hosts.extend_from_slice(format!("{address}\t{name}\n").as_bytes());
    }
    let resolver = match options.network {
        // Nobody can be asked: programs shall learn that at once and not after a timeout.
        Network::None => b"# This container has no network.\n".to_vec(),
        Network::Host if options.dns.is_empty() => {
            std::fs::read("/etc/resolv.conf").unwrap_or_default()
        }
        Network::Host => {
            let lines = options
                .dns
                .iter()
                .map(|server| format!("nameserver {server}\n"));
            lines.collect::<String>().into_bytes()
        }
    };
    vec![
        ("hosts", hosts),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_servers_that_were_asked_for_are_in_the_files() {
        let mut options = RunOptions::new("/", "i");
        options.hosts = vec![("db".to_owned(), "10.0.0.2".to_owned())];
        options.dns = vec!["9.9.9.9".to_owned()];
        let text = |options: &RunOptions, name: &str| {
            let files = make(options, "box");
            let (_, content) = files.into_iter().find(|(found, _)| *found == name).unwrap();
            String::from_utf8(content).unwrap()
        };
        assert!(text(&options, "hosts").contains("localhost box\n"));
        assert!(text(&options, "hosts").ends_with("10.0.0.2\tdb\n"));
        assert!(!text(&options, "resolv.conf").contains("nameserver"));
        options.network = Network::Host;
        assert_eq!(text(&options, "resolv.conf"), "nameserver 9.9.9.9\n");
    }
}
