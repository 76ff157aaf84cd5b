//! A table of processes in the look of ps(1), from `/proc/PID/stat`, `status` and `cmdline`.

use std::fmt;
use std::time::SystemTime;

use super::{time, users};

/// Ticks in a second, in every file of `/proc` on every architecture we run on (`USER_HZ`).
const TICKS: u64 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    User,
    Uid,
    Pid,
    ParentPid,
    Group,
    Session,
    Cpu,
    CpuPercent,
    MemoryPercent,
    Size,
    Resident,
    Terminal,
    State,
    Start,
    Time,
    /// Minutes and seconds, as BSD's options give it.
    ShortTime,
    Nice,
    Threads,
    Name,
    Command,
}

use Column as C;

/// `ps -f`.
pub(crate) const FULL: &[Column] = &[
    C::User,
    C::Pid,
    C::ParentPid,
    C::Cpu,
    C::Start,
    C::Terminal,
    C::Time,
    C::Command,
];
/// `ps` without options.
pub(crate) const SIMPLE: &[Column] = &[C::Pid, C::Terminal, C::Time, C::Name];
/// `ps ax`.
pub(crate) const WITH_STATE: &[Column] = &[C::Pid, C::Terminal, C::State, C::ShortTime, C::Command];
/// `ps aux`.
pub(crate) const USER: &[Column] = &[
    C::User,
    C::Pid,
    C::CpuPercent,
    C::MemoryPercent,
    C::Size,
    C::Resident,
    C::Terminal,
    C::State,
    C::Start,
    C::ShortTime,
    C::Command,
];

/// A column by its name in `ps -o`.
pub(crate) fn column(name: &str) -> Option<Column> {
    Some(match name {
        "user" | "euser" | "uname" | "ruser" => C::User,
        "uid" | "euid" => C::Uid,
        "pid" | "tgid" => C::Pid,
        "ppid" => C::ParentPid,
        "pgid" | "pgrp" => C::Group,
        "sid" | "sess" | "session" => C::Session,
        "c" => C::Cpu,
        "pcpu" | "%cpu" => C::CpuPercent,
        "pmem" | "%mem" => C::MemoryPercent,
        "vsz" | "vsize" => C::Size,
        "rss" | "rssize" => C::Resident,
        "tty" | "tt" | "tname" => C::Terminal,
        "stat" | "s" | "state" => C::State,
        "stime" | "start" | "start_time" => C::Start,
        "time" | "cputime" => C::Time,
        "ni" | "nice" => C::Nice,
        "nlwp" | "thcount" => C::Threads,
        "comm" | "ucmd" | "ucomm" => C::Name,
        "args" | "cmd" | "command" => C::Command,
        _ => return None,
    })
}

/// Rows of cells below their headings.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    /// `ps -f` calls the columns of user and command otherwise.
    is_full: bool,
}

impl Table {
    /// Reads the processes; one that ends meanwhile is left out.
    pub(crate) fn read(pids: &[i32], columns: &[Column]) -> Self {
        let host = Host::read();
        let rows = pids
            .iter()
            .filter_map(|pid| Process::read(*pid))
            .map(|process| {
                columns
                    .iter()
                    .map(|column| process.cell(*column, &host))
                    .collect()
            });
        Self {
            rows: rows.collect(),
            columns: columns.to_vec(),
            is_full: columns == FULL,
        }
    }

    fn heading(&self, column: Column) -> &'static str {
        match column {
            C::User if self.is_full => "UID",
            C::User => "USER",
            C::Uid => "UID",
            C::Pid => "PID",
            C::ParentPid => "PPID",
            C::Group => "PGID",
            C::Session => "SID",
            C::Cpu => "C",
            C::CpuPercent => "%CPU",
            C::MemoryPercent => "%MEM",
            C::Size => "VSZ",
            C::Resident => "RSS",
            C::Terminal => "TTY",
            C::State => "STAT",
            C::Start if self.is_full => "STIME",
            C::Start => "START",
            C::Time | C::ShortTime => "TIME",
            C::Nice => "NI",
            C::Threads => "NLWP",
            C::Name => "CMD",
            C::Command if self.is_full => "CMD",
            C::Command => "COMMAND",
        }
    }
}

impl fmt::Display for Table {
    /// Numbers to the right, words to the left, the last column as long as it is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headings: Vec<_> = self
            .columns
            .iter()
            .map(|column| self.heading(*column).to_owned())
            .collect();
        let lines = || std::iter::once(&headings).chain(&self.rows);
        let width = |index: usize, least: usize| {
            lines()
                .map(|line| line[index].chars().count())
                .fold(least, usize::max)
        };
        let widths: Vec<_> = (0..headings.len())
            .map(|index| match self.columns[index] {
                C::User | C::Terminal => width(index, 8),
                C::Pid | C::ParentPid | C::Group | C::Session => width(index, 7),
                _ => width(index, 0),
            })
            .collect();
        for line in lines() {
            for (index, cell) in line.iter().enumerate() {
                let is_last = index + 1 == line.len();
                let is_word = matches!(
                    self.columns[index],
                    C::User | C::Terminal | C::State | C::Name
                );
                let width = widths[index];
                match (is_last, is_word) {
                    (true, _) => writeln!(f, "{cell}")?,
                    (false, true) => write!(f, "{cell:<width$} ")?,
                    (false, false) => write!(f, "{cell:>width$} ")?,
                }
            }
        }
        Ok(())
    }
}

/// What rows are measured against.
struct Host {
    /// Seconds since 1970.
    boot: u64,
    now: u64,
    memory_kib: u64,
}

impl Host {
    fn read() -> Self {
        let number = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            let word = line.and_then(|rest| rest.split_ascii_whitespace().next());
            word.and_then(|word| word.parse().ok()).unwrap_or(0)
        };
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self {
            boot: number("/proc/stat", "btime "),
            now: now.as_secs(),
            memory_kib: number("/proc/meminfo", "MemTotal:"),
        }
    }
}

/// One process as proc(5) tells it.
struct Process {
    pid: i32,
    uid: u32,
    name: String,
    command: String,
    state: String,
    resident_kib: u64,
    /// Fields of `stat` from number 4 (`ppid`) on.
    fields: Vec<i64>,
}

impl Process {
    fn read(pid: i32) -> Option<Self> {
        let file = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
        let stat = String::from_utf8_lossy(&file("stat")?).into_owned();
        // The name, in parentheses, may contain anything: count from its end.
        let (before, after) = stat.split_at(stat.rfind(')')?);
        let name = before.split_once('(')?.1.to_owned();
        let mut words = after[1..].split_ascii_whitespace();
        let state = words.next()?.to_owned();
        let fields: Vec<i64> = words.map(|word| word.parse().unwrap_or(0)).collect();
        let status = String::from_utf8_lossy(&file("status")?).into_owned();
        let words_of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_default().split_ascii_whitespace()
        };
        let uid = words_of("Uid:").nth(1)?.parse().ok()?;
        // Kernel threads and zombies have no memory.
        let resident = words_of("VmRSS:")
            .next()
            .and_then(|number| number.parse().ok());
        let words = file("cmdline").unwrap_or_default();
        let command = words.strip_suffix(b"\0").unwrap_or(&words);
        let command = String::from_utf8_lossy(command).replace('\0', " ");
        Some(Self {
            pid,
            uid,
            command: if command.is_empty() {
                format!("[{name}]")
            } else {
                printable(&command)
            },
            name: printable(&name),
            state,
            resident_kib: resident.unwrap_or(0),
            fields,
        })
    }

    /// A field of `stat` by its number in proc(5).
    fn field(&self, number: usize) -> i64 {
        self.fields.get(number - 4).copied().unwrap_or(0)
    }

    fn positive(&self, number: usize) -> u64 {
        u64::try_from(self.field(number)).unwrap_or(0)
    }

    fn cell(&self, column: Column, host: &Host) -> String {
        match column {
            C::User => users::name(self.uid),
            C::Uid => self.uid.to_string(),
            C::Pid => self.pid.to_string(),
            C::ParentPid => self.field(4).to_string(),
            C::Group => self.field(5).to_string(),
            C::Session => self.field(6).to_string(),
            C::Cpu => (self.cpu_permille(host) / 10).min(99).to_string(),
            C::CpuPercent => tenths(self.cpu_permille(host)),
            C::MemoryPercent => tenths(self.resident_kib * 1000 / host.memory_kib.max(1)),
            C::Size => (self.positive(23) / 1024).to_string(),
            C::Resident => self.resident_kib.to_string(),
            C::Terminal => terminal(self.positive(7)),
            C::State => self.state(),
            C::Start => self.start(host),
            C::Time => clock(self.cpu_ticks() / TICKS),
            C::ShortTime => {
                let seconds = self.cpu_ticks() / TICKS;
                format!("{}:{:02}", seconds / 60, seconds % 60)
            }
            C::Nice => self.field(19).to_string(),
            C::Threads => self.field(20).to_string(),
            C::Name => self.name.clone(),
            C::Command => self.command.clone(),
        }
    }

    /// Seconds since 1970.
    fn started(&self, host: &Host) -> u64 {
        host.boot + self.positive(22) / TICKS
    }

    fn cpu_ticks(&self) -> u64 {
        self.positive(14) + self.positive(15)
    }

    fn cpu_permille(&self, host: &Host) -> u64 {
        let lived = host.now.saturating_sub(self.started(host)).max(1);
        self.cpu_ticks() * (1000 / TICKS) / lived
    }

    /// The letter and what ps(1) adds: `s` session leader, `<`/`N` nice, `l` threads, `+` front.
    fn state(&self) -> String {
        let mut text = self.state.clone();
        match self.field(19) {
            ..0 => text.push('<'),
            1.. => text.push('N'),
            0 => {}
        }
        if self.field(6) == i64::from(self.pid) {
            text.push('s');
        }
        if self.field(20) > 1 {
            text.push('l');
        }
        if self.field(8) == self.field(5) {
            text.push('+');
        }
        text
    }

    /// The time of the day, or the date when that is more than a day ago; UTC.
    fn start(&self, host: &Host) -> String {
        const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
        let started = self.started(host);
        if host.now.saturating_sub(started) < 86_400 {
            return format!("{:02}:{:02}", started / 3600 % 24, started / 60 % 60);
        }
        let (_, month, day) = time::civil(started / 86_400);
        let first = usize::try_from(month - 1).unwrap_or(0) * 3;
        format!(
            "{}{day:02}",
            String::from_utf8_lossy(&MONTHS[first..first + 3])
        )
    }
}

/// `pts/3`, `tty1` or `?` from the number of a terminal (makedev(3)).
fn terminal(device: u64) -> String {
    let (major, minor) = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 if minor < 64 => format!("tty{minor}"),
        4 => format!("ttyS{}", minor - 64),
        _ => "?".to_owned(),
    }
}

fn clock(seconds: u64) -> String {
    format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

fn tenths(permille: u64) -> String {
    format!("{}.{}", permille / 10, permille % 10)
}

/// A process chooses its own name: what would move the reader's cursor is replaced.
fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{FULL, Table, WITH_STATE, clock, terminal};

    fn own() -> i32 {
        i32::try_from(std::process::id()).unwrap()
    }

    #[test]
    fn our_own_process_is_in_the_table() {
        let table = Table::read(&[own(), i32::MAX], FULL).to_string();
        let mut lines = table.lines();
        let heading: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(
            heading,
            ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
        );
        let row: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(row[1], own().to_string());
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn the_headings_of_other_forms_are_those_of_ps() {
        let table = Table::read(&[], WITH_STATE).to_string();
        let heading: Vec<_> = table.split_whitespace().collect();
        assert_eq!(heading, ["PID", "TTY", "STAT", "TIME", "COMMAND"]);
    }

    #[test]
    fn terminals_and_times_have_their_usual_form() {
        assert_eq!(terminal(0), "?");
        assert_eq!(terminal(136 << 8 | 3), "pts/3");
        assert_eq!(terminal(4 << 8 | 1), "tty1");
        assert_eq!(clock(3661), "01:01:01");
    }
}
