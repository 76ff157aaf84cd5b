//! Whether a request goes through a proxy: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`.
//!
//! The variables are read as Go's programs read them (golang.org/x/net/http/httpproxy): the lower
//! case wins, this machine is never reached through a proxy, and `NO_PROXY` has names, domains,
//! addresses, networks and ports. A proxy is asked to `CONNECT`, for plain HTTP too. One of SOCKS
//! finds the host by its name, as theirs do.

use std::net::IpAddr;

use ureq::Proxy;

use crate::error::{Error, Result};

/// The proxies of this environment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    http: Option<String>,
    https: Option<String>,
    exempt: Vec<String>,
}

impl Proxies {
    pub(crate) fn from_environment() -> Self {
        let set = |names: &[&str]| {
            let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
            values.find(|value| !value.is_empty())
        };
        let all = || set(&["all_proxy", "ALL_PROXY"]);
        let exempt = set(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        Self {
            http: set(&["http_proxy", "HTTP_PROXY"]).or_else(all),
            https: set(&["https_proxy", "HTTPS_PROXY"]).or_else(all),
            exempt: exempt
                .split([',', ' '])
                .filter(|entry| !entry.is_empty())
                .map(str::to_ascii_lowercase)
                .collect(),
        }
    }

    /// The proxy for a host, `None` to go there directly.
    ///
    /// # Errors
    /// The variable has no form of a proxy's address.
    pub(crate) fn choose(&self, is_tls: bool, host: &str, port: u16) -> Result<Option<Proxy>> {
        let (name, address) = if is_tls {
            ("HTTPS_PROXY", &self.https)
        } else {
            ("HTTP_PROXY", &self.http)
        };
        let Some(address) = address else {
            return Ok(None);
        };
        if self.is_exempt(host, port) {
            return Ok(None);
        }
        // Go's programs let the proxy find the host for `socks5` too.
        let address = match address.strip_prefix("socks5://") {
            Some(rest) => &format!("socks5h://{rest}"),
            None => address,
        };
        match Proxy::new(address) {
            Ok(proxy) if is_known(&proxy) => Ok(Some(proxy)),
            // The address may hold a password: it is not repeated.
            _ => Err(
                Error::invalid(format!("{name} is not the address of a proxy")).hint(
                    "it looks like http://[user:password@]host:port, or socks5:// with the same",
                ),
            ),
        }
    }

    fn is_exempt(&self, host: &str, port: u16) -> bool {
        let host = host
            .trim_start_matches('[')
            .trim_end_matches([']', '.'])
            .to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
            return true;
        }
        let matches = |entry: &String| matches_entry(entry, &host, address, port);
        self.exempt.iter().any(matches)
    }
}

fn is_known(proxy: &Proxy) -> bool {
    use ureq::ProxyProtocol::{Http, Https, Socks5h};
    matches!(proxy.protocol(), Http | Https | Socks5h)
}

fn matches_entry(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, length)) = entry.split_once('/') {
        return match (address, network.parse(), length.parse()) {
            (Some(address), Ok(network), Ok(length)) => in_network(address, network, length),
            _ => false,
        };
    }
    if let Ok(exempt) = entry.parse::<IpAddr>() {
        return address == Some(exempt);
    }
    let (entry, only_port) = match entry.rsplit_once(':') {
        Some((name, only)) => match only.parse::<u16>() {
            Ok(only) => (name, Some(only)),
            Err(_) => return false,
        },
        None => (entry, None),
    };
    if only_port.is_some_and(|only| only != port) {
        return false;
    }
    let entry = entry.trim_start_matches('[').trim_end_matches(']');
    // `.example.com` and `*.example.com` are what is below, `example.com` is itself too.
    match entry.strip_prefix('*').unwrap_or(entry) {
        domain if domain.starts_with('.') => host.ends_with(domain),
        name => host
            .strip_suffix(name)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
    }
}

fn in_network(address: IpAddr, network: IpAddr, length: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if length <= 32 => {
            let shift = 32 - length;
            let cut = |address: u32| address.checked_shr(shift).unwrap_or(0);
            cut(address.to_bits()) == cut(network.to_bits())
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if length <= 128 => {
            let shift = 128 - length;
            let cut = |address: u128| address.checked_shr(shift).unwrap_or(0);
            cut(address.to_bits()) == cut(network.to_bits())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exempt_hosts_go_directly() {
        let proxies = Proxies {
            https: Some("http://proxy.example:3128".to_owned()),
            http: None,
            exempt: "plain.example,.below.example,10.0.0.0/8,fd00::/8,192.0.2.1,port.example:5000"
                .split(',')
                .map(str::to_owned)
                .collect(),
        };
        let direct = |host: &str| proxies.choose(true, host, 5000).unwrap().is_none();
        for host in [
            "localhost",
            "127.0.0.2",
            "[::1]",
            "plain.example",
            "a.plain.example",
            "PLAIN.example",
            "x.below.example",
            "10.9.8.7",
            "[fd00::1]",
            "192.0.2.1",
            "port.example",
        ] {
            assert!(direct(host), "{host}");
        }
        for host in [
            "example",
            "notplain.example",
            "below.example",
            "11.0.0.1",
            "192.0.2.2",
        ] {
            assert!(!direct(host), "{host}");
        }
        assert!(proxies.choose(false, "any.example", 80).unwrap().is_none());
        assert!(proxies.choose(true, "port.example", 443).unwrap().is_some());
    }

    #[test]
    fn an_unusable_address_is_not_repeated() {
        let proxies = Proxies {
            https: Some("socks4://me:secret@proxy:1080".to_owned()),
            ..Proxies::default()
        };
        let error = proxies.choose(true, "a.example", 443).unwrap_err();
        assert!(!error.chain().contains("secret"));
    }
}
