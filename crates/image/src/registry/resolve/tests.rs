//! The files of the host, and name servers on loopback that answer, cut, refuse or keep silent.

use simple_dns::ResourceRecord;
use simple_dns::rdata::{A, AAAA};

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[test]
fn hosts_and_addresses_need_no_server() {
    let directory = tempfile::tempdir().unwrap();
    let hosts = directory.path().join("hosts");
    std::fs::write(
        &hosts,
        "127.0.0.1 localhost\n192.0.2.7\tone Two # three\nbad two\n",
    )
    .unwrap();
    let names = HostNames {
        hosts,
        configuration: "/nonexistent".into(),
    };
    for (name, address) in [
        ("two", "192.0.2.7"),
        ("localhost", "127.0.0.1"),
        ("10.1.2.3", "10.1.2.3"),
        ("[::1]", "::1"),
    ] {
        let found = names.lookup(name, soon()).unwrap();
        assert_eq!(found, [address.parse::<IpAddr>().unwrap()], "{name}");
    }
    assert_eq!(names.lookup("a.localhost", soon()).unwrap().len(), 2);
}

#[test]
fn the_configuration_is_read_within_its_limits() {
    let servers = Servers::parse(
        "; comment\nnameserver 192.0.2.1\nnameserver fe80::1%eth0\nnameserver ::1\n\
         search a.example b.example.\noptions ndots:2 timeout:99 attempts:0 rotate\n",
    );
    assert_eq!(servers.addresses.len(), 2);
    assert_eq!((servers.dots_min, servers.attempts), (2, 1));
    assert_eq!(servers.timeout, Duration::from_secs(30));
    let order = ["x.y.a.example", "x.y.b.example", "x.y"];
    assert_eq!(servers.names("x.y"), order);
    assert_eq!(servers.names("x.y.z")[0], "x.y.z");
    assert_eq!(servers.names("x."), ["x"]);
    let local = "127.0.0.1:53".parse().unwrap();
    assert_eq!(Servers::parse("").addresses, [local]);
}

fn reply(query: &[u8], cut: bool) -> Vec<u8> {
    let query = Packet::parse(query).unwrap();
    let question = query.questions[0].clone();
    let name = question.qname.to_string();
    let mut answer = Packet::new_reply(query.id());
    if cut {
        answer.set_flags(PacketFlag::TRUNCATION);
    } else if name == "here.example" {
        let record = match question.qtype {
            simple_dns::QTYPE::TYPE(TYPE::A) => RData::A(A {
                address: 0xc000_0201,
            }),
            _ => RData::AAAA(AAAA { address: 1 }),
        };
        let record = ResourceRecord::new(question.qname.clone(), CLASS::IN, 60, record);
        answer.answers.push(record);
    } else {
        *answer.rcode_mut() = RCODE::NameError;
    }
    answer.questions.push(question);
    answer.build_bytes_vec().unwrap()
}

/// Answers `count` questions over UDP, and over TCP when `cut`.
fn server(count: usize, cut: bool) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = std::net::TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for _ in 0..count {
            let mut buffer = [0; 512];
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            // A datagram with another number comes first and must be passed over.
            socket.send_to(&[0xff; 16], from).unwrap();
            socket
                .send_to(&reply(&buffer[..length], cut), from)
                .unwrap();
            if cut {
                let (mut stream, _) = listener.accept().unwrap();
                let mut length = [0; 2];
                stream.read_exact(&mut length).unwrap();
                let mut query = vec![0; u16::from_be_bytes(length).into()];
                stream.read_exact(&mut query).unwrap();
                let answer = reply(&query, false);
                let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                stream.write_all(&[&length[..], &answer].concat()).unwrap();
            }
        }
    });
    address
}

fn servers(addresses: Vec<SocketAddr>) -> Servers {
    Servers {
        addresses,
        search: Vec::new(),
        dots_min: 1,
        timeout: Duration::from_millis(300),
        attempts: 1,
    }
}

#[test]
fn both_kinds_of_addresses_are_asked_for() {
    let expected: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()];
    for cut in [false, true] {
        let servers = servers(vec![server(2, cut)]);
        assert_eq!(servers.lookup("here.example", soon()).unwrap(), expected);
    }
}

#[test]
fn a_silent_server_is_passed_over_and_an_unknown_name_is_no_error() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = (silent.local_addr().unwrap(), silent);
    let both = servers(vec![silent.0, server(1, false)]);
    assert!(both.lookup("gone.example", soon()).unwrap().is_empty());
    let error = servers(vec![silent.0]).lookup("here.example", soon());
    assert!(error.unwrap_err().to_string().contains("127.0.0.1"));
}
