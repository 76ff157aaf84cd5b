//! Input and output of guests: attached, detached, on terminals.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use insula_sys::rustix::process::Signal;
use insula_sys::rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::world::{World, kill};

/// Starts a command on a terminal and gives the terminal's other end.
fn on_terminal(command: &mut Command) -> (Child, std::fs::File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let mut options = std::fs::File::options();
    let theirs = options
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    command.stdin(theirs.try_clone().unwrap());
    command.stdout(theirs.try_clone().unwrap()).stderr(theirs);
    let child = command.process_group(0).spawn().unwrap();
    (child, ours.into())
}

/// Reads until `end` has come.
fn read_until(from: &mut impl Read, end: &str) -> String {
    let mut text = String::new();
    let mut buffer = [0; 1024];
    while !text.contains(end) {
        let length = from.read(&mut buffer).unwrap();
        assert_ne!(length, 0, "ended before {end}: {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}

#[test]
fn a_terminal_is_left_and_joined_again() {
    let world = World::new();
    let mut command = world.command(&["run", "-it", "--name", "box", "bb", "sh"]);
    let (mut child, mut terminal) = on_terminal(&mut command);
    drop(command);
    terminal.write_all(b"echo $((40+2))\r").unwrap();
    read_until(&mut terminal, "42");
    terminal.write_all(b"\x10\x11").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(world.status("box"), "running");
    let mut command = world.command(&["attach", "box"]);
    let (mut child, mut terminal) = on_terminal(&mut command);
    drop(command);
    terminal.write_all(b"echo $((50+3))\r").unwrap();
    read_until(&mut terminal, "53");
    terminal.write_all(b"exit 6\r").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(6));
    assert_eq!(world.guest("box")["exitCode"], 6);
}

#[test]
fn input_ends_where_it_ends() {
    let world = World::new();
    let mut command = world.command(&["run", "-i", "--rm", "bb", "wc", "-c"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let block = vec![b'x'; 1 << 20];
    for _ in 0..8 {
        input.write_all(&block).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().trim(),
        (8 << 20).to_string()
    );
}

#[test]
fn every_byte_of_the_output_arrives_in_order() {
    let world = World::new();
    let script = "seq 200000; seq 5 >&2";
    let said = world.run(&["run", "--rm", "bb", "sh", "-c", script]);
    let lines = || said.out.lines().zip(1..);
    assert!(lines().all(|(line, number)| line == number.to_string()));
    assert_eq!(lines().count(), 200_000);
    assert_eq!(said.err, "1\n2\n3\n4\n5\n");
}

#[test]
fn two_commands_see_the_same_guest() {
    let world = World::new();
    let script = "read go; echo $go; read go; echo $go; exit 3";
    world.succeed(&["run", "-d", "-i", "--name", "box", "bb", "sh", "-c", script]);
    let mut one = world.command(&["attach", "box"]);
    let mut one = one.stdin(Stdio::piped()).spawn().unwrap();
    let mut two = world.command(&["attach", "--no-stdin", "box"]);
    let mut two = two.spawn().unwrap();
    // Both must be there before the guest may speak.
    world.settle("two are attached", |world| {
        let journal = std::fs::read_dir(std::path::Path::new(crate::world::STATE).join("events"));
        let text: String = journal
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
            .collect();
        let id = world.guest("box")["id"].as_str().unwrap().to_owned();
        let of_it = text.lines().filter(|line| line.contains(&id));
        of_it.filter(|line| line.contains("\"attach\"")).count() == 2
    });
    one.stdin
        .take()
        .unwrap()
        .write_all(b"first\nsecond\n")
        .unwrap();
    for child in [&mut one, &mut two] {
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "first\nsecond\n");
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
}

#[test]
fn a_guest_of_rm_ends_with_its_command_and_others_do_not() {
    let world = World::new();
    let id_of = |name: &str| world.guest(name)["id"].as_str().unwrap().to_owned();
    for (name, rm) in [("bound", true), ("free", false)] {
        let mut words = vec!["run", "--name", name];
        words.extend(rm.then_some("--rm"));
        words.extend(["bb", "sh", "-c", "echo up; sleep 1000"]);
        let mut child = world.command(&words).spawn().unwrap();
        read_until(child.stdout.as_mut().unwrap(), "up");
        let id = id_of(name);
        kill(i32::try_from(child.id()).unwrap(), Signal::KILL);
        child.wait().unwrap();
        if rm {
            world.succeed(&["prune"]);
            world.assert_gone(&id);
        } else {
            assert_eq!(world.status(name), "running");
        }
    }
}
