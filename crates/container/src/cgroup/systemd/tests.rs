//! The dialogue with systemd, over a real `dbus-daemon` and against a played systemd.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::bus::Address;
use super::wire::{ERROR, Header, METHOD_CALL, METHOD_RETURN, Message, SIGNAL};
use super::*;

const JOB: &str = "/org/freedesktop/systemd1/job/1";

/// A message bus of its own, which goes with the test.
struct Daemon {
    child: Child,
    directory: PathBuf,
}

impl Daemon {
    /// `None`, said aloud, where there is no dbus-daemon.
    fn start(name: &str) -> Option<Self> {
        let id = std::process::id();
        let directory = std::env::temp_dir().join(format!("insula-test-{name}-{id}"));
        std::fs::create_dir_all(&directory).unwrap();
        let configuration = format!(
            "<busconfig><type>session</type><listen>unix:path={0}/bus</listen>\
             <auth>EXTERNAL</auth><policy context=\"default\"><allow send_destination=\"*\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>",
            directory.display()
        );
        let file = directory.join("bus.conf");
        std::fs::write(&file, configuration).unwrap();
        let mut child = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", file.display()))
            .args(["--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .spawn()
            .inspect_err(|_| println!("skipped: needs dbus-daemon"))
            .ok()?;
        // It prints its address when it listens.
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        Some(Self { child, directory })
    }

    fn connect(&self) -> Bus {
        let address = format!("unix:path={}/bus", self.directory.display());
        Bus::connect_to(&Address::parse(&address).unwrap()).unwrap()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// What the played systemd does on a call.
enum Answer {
    /// Starts a job, and ends it so.
    Job(&'static str),
    Empty,
    Text(&'static str),
    Refuse(&'static str, &'static str),
}

/// Owns systemd's name and answers the expected calls in their order; returns their bodies.
fn play(mut bus: Bus, script: Vec<(&'static str, Answer)>) -> thread::JoinHandle<Vec<Vec<u8>>> {
    let mut body = Writer::default();
    body.text("org.freedesktop.systemd1");
    body.u32(0);
    let header = Header {
        kind: METHOD_CALL,
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "RequestName",
        signature: "su",
        ..Header::default()
    };
    bus.send(&header, &body.into_bytes()).unwrap();
    while bus.receive().unwrap().kind != METHOD_RETURN {}
    thread::spawn(move || {
        let mut bodies = Vec::new();
        for (member, answer) in script {
            let call = loop {
                let message = bus.receive().unwrap();
                if message.kind == METHOD_CALL {
                    break message;
                }
            };
            assert_eq!(call.member, member);
            reply(&mut bus, &call, &answer);
            bodies.push(call.body);
        }
        bodies
    })
}

fn reply(bus: &mut Bus, call: &Message, answer: &Answer) {
    let mut body = Writer::default();
    let mut header = Header {
        kind: METHOD_RETURN,
        destination: &call.sender,
        reply_serial: call.serial,
        ..Header::default()
    };
    match answer {
        Answer::Job(_) => {
            header.signature = "o";
            body.text(JOB);
        }
        Answer::Empty => {}
        Answer::Text(text) => {
            header.signature = "v";
            body.variant(&Value::Text((*text).to_owned()));
        }
        Answer::Refuse(name, text) => {
            header.kind = ERROR;
            header.error_name = name;
            header.signature = "s";
            body.text(text);
        }
    }
    if let Answer::Job(result) = answer {
        // Before the reply: the job may be over when the caller learns its name.
        for (job, result) in [("/other/job", "failed"), (JOB, *result)] {
            let signal = Header {
                kind: SIGNAL,
                path: "/org/freedesktop/systemd1",
                interface: "org.freedesktop.systemd1.Manager",
                member: "JobRemoved",
                signature: "uoss",
                ..Header::default()
            };
            let mut body = Writer::default();
            body.u32(1);
            body.text(job);
            body.text("x.scope");
            body.text(result);
            bus.send(&signal, &body.into_bytes()).unwrap();
        }
    }
    bus.send(&header, &body.into_bytes()).unwrap();
}

fn unit() -> Unit {
    Unit::new(Some("machine.slice:test:c1"), "c1", false).unwrap()
}

fn started<'a>(unit: &'a Unit, resources: &'a Resources) -> Start<'a> {
    Start {
        unit,
        pid: 42,
        resources,
        annotations: None,
        unified: true,
        rootless: false,
    }
}

fn contains(body: &[u8], text: &str) -> bool {
    body.windows(text.len()).any(|part| part == text.as_bytes())
}

#[test]
fn a_scope_is_started_updated_and_stopped() {
    let Some(daemon) = Daemon::start("scope") else {
        return;
    };
    let systemd = play(
        daemon.connect(),
        vec![
            ("StartTransientUnit", Answer::Job("done")),
            ("SetUnitProperties", Answer::Empty),
            ("Get", Answer::Text("/user.slice/user@1000.service")),
            ("StopUnit", Answer::Job("done")),
            (
                "ResetFailedUnit",
                Answer::Refuse("org.freedesktop.systemd1.NoSuchUnit", "gone"),
            ),
        ],
    );
    let mut bus = daemon.connect();
    let resources: Resources =
        serde_json::from_str(r#"{"memory": {"limit": 1000}, "pids": {"limit": 5}}"#).unwrap();
    start(&mut bus, &started(&unit(), &resources)).unwrap();
    update(&mut bus, &unit(), &resources, true, false).unwrap();
    assert_eq!(
        user_manager_path(&mut bus).unwrap(),
        "user.slice/user@1000.service"
    );
    stop(&mut bus, &unit()).unwrap();
    let bodies = systemd.join().unwrap();
    for word in [
        "test-c1.scope",
        "Slice",
        "machine.slice",
        "Delegate",
        "PIDs",
        "MemoryMax",
    ] {
        assert!(contains(&bodies[0], word), "{word}");
    }
    assert!(contains(&bodies[0], "/dev/char/1:3") && contains(&bodies[1], "TasksMax"));
    assert!(!contains(&bodies[1], "DeviceAllow"));
}

#[test]
fn what_an_older_systemd_lacks_is_left_out_and_a_left_over_unit_reset() {
    let Some(daemon) = Daemon::start("older") else {
        return;
    };
    let read_only = "org.freedesktop.DBus.Error.PropertyReadOnly";
    let exists = "org.freedesktop.systemd1.UnitExists";
    let unknown = "Cannot set property AllowedCPUs, or unknown property.";
    let systemd = play(
        daemon.connect(),
        vec![
            (
                "StartTransientUnit",
                Answer::Refuse(exists, "Unit test-c1.scope exists."),
            ),
            ("ResetFailedUnit", Answer::Empty),
            ("StartTransientUnit", Answer::Refuse(read_only, unknown)),
            ("StartTransientUnit", Answer::Job("done")),
            (
                "StopUnit",
                Answer::Refuse("org.freedesktop.systemd1.NoSuchUnit", "not loaded"),
            ),
            ("ResetFailedUnit", Answer::Empty),
        ],
    );
    let mut bus = daemon.connect();
    let resources: Resources = serde_json::from_str(r#"{"cpu": {"cpus": "0"}}"#).unwrap();
    start(&mut bus, &started(&unit(), &resources)).unwrap();
    stop(&mut bus, &unit()).unwrap();
    let bodies = systemd.join().unwrap();
    assert!(contains(&bodies[2], "AllowedCPUs") && !contains(&bodies[3], "AllowedCPUs"));
}

#[test]
fn refusals_and_failed_jobs_are_told() {
    let Some(daemon) = Daemon::start("refused") else {
        return;
    };
    let denied = "org.freedesktop.DBus.Error.AccessDenied";
    let systemd = play(
        daemon.connect(),
        vec![
            (
                "StartTransientUnit",
                Answer::Refuse(denied, "Permission denied"),
            ),
            ("StartTransientUnit", Answer::Job("failed")),
            ("ResetFailedUnit", Answer::Empty),
        ],
    );
    let mut bus = daemon.connect();
    let resources = Resources::default();
    let error = start(&mut bus, &started(&unit(), &resources)).unwrap_err();
    assert!(
        error.chain().contains("Permission denied"),
        "{}",
        error.chain()
    );
    let error = start(&mut bus, &started(&unit(), &resources)).unwrap_err();
    assert!(error.chain().contains("failed"), "{}", error.chain());
    systemd.join().unwrap();
}

#[test]
fn nobody_at_the_other_end_is_told() {
    let address = Address::parse("unix:path=/nonexistent/insula-test").unwrap();
    let error = Bus::connect_to(&address).unwrap_err();
    assert!(
        error.chain().contains("/nonexistent/insula-test"),
        "{}",
        error.chain()
    );
}
