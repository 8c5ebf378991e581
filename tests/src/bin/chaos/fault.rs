//! The kinds of faults, and the schedule that a seed makes of them.

use std::fmt;
use std::time::Duration;

use lcs_tests::chaos::dice::Dice;

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    TerminateOne,
    TerminateThree,
    TerminateAll,
    KillBackend,
    RestartServer,
    KillServer,
    FreezeServer,
    CutReply,
    CutRequest,
    BlackHole,
    Latency,
    ResetMidRow,
    RefusedConnections,
    KillReplica,
    RestartReplica,
    Retention,
    Cancellations,
}

impl Fault {
    pub(crate) const ALL: [Self; 17] = [
        Self::TerminateOne,
        Self::TerminateThree,
        Self::TerminateAll,
        Self::KillBackend,
        Self::RestartServer,
        Self::KillServer,
        Self::FreezeServer,
        Self::CutReply,
        Self::CutRequest,
        Self::BlackHole,
        Self::Latency,
        Self::ResetMidRow,
        Self::RefusedConnections,
        Self::KillReplica,
        Self::RestartReplica,
        Self::Retention,
        Self::Cancellations,
    ];

    /// What it does, in a few words.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::TerminateOne => "one session terminated",
            Self::TerminateThree => "three sessions terminated",
            Self::TerminateAll => "all sessions terminated",
            Self::KillBackend => "kill -9 of a backend",
            Self::RestartServer => "immediate restart of the server",
            Self::KillServer => "kill -9 of the server",
            Self::FreezeServer => "server stopped (SIGSTOP)",
            Self::CutReply => "answer of an append cut off",
            Self::CutRequest => "append cut off",
            Self::BlackHole => "black-holed connects",
            Self::Latency => "latency",
            Self::ResetMidRow => "reset within a row",
            Self::RefusedConnections => "refused connections",
            Self::KillReplica => "kill -9 of a replica",
            Self::RestartReplica => "restart of a replica",
            Self::Retention => "retention",
            Self::Cancellations => "cancelled requests",
        }
    }

    /// Whether both replicas feel it.
    pub(crate) const fn is_of_the_server(self) -> bool {
        matches!(
            self,
            Self::TerminateOne
                | Self::TerminateThree
                | Self::TerminateAll
                | Self::KillBackend
                | Self::RestartServer
                | Self::KillServer
                | Self::FreezeServer
        )
    }

    /// Whether it ends a process. Only the first replica's: what the other one holds is looked at all the time.
    const fn ends_a_replica(self) -> bool {
        matches!(self, Self::KillReplica | Self::RestartReplica)
    }

    /// How long it lasts, from and to, in milliseconds.
    const fn lasts_ms(self) -> (u64, u64) {
        match self {
            Self::FreezeServer => (1_000, 2_500),
            Self::BlackHole | Self::Latency | Self::RefusedConnections => (600, 1_500),
            Self::KillServer | Self::KillReplica => (0, 500),
            _ => (0, 0),
        }
    }
}

/// A fault of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// How long nothing happens before it.
    pub(crate) pause: Duration,
    pub(crate) fault: Fault,
    /// The replica that it happens to, where it is not the server.
    pub(crate) replica: usize,
    pub(crate) lasts: Duration,
    /// How slow the network is, where that is the fault.
    pub(crate) latency: Duration,
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pause, fault, replica, lasts, latency } = self;
        write!(f, "after {} ms: {}", pause.as_millis(), fault.label())?;
        if !fault.is_of_the_server() {
            write!(f, " (replica {replica})")?;
        }
        if *fault == Fault::Latency {
            write!(f, ", {} ms", latency.as_millis())?;
        }
        if lasts.is_zero() { Ok(()) } else { write!(f, ", for {} ms", lasts.as_millis()) }
    }
}

/// The schedule of a seed: round after round, each kind once in each. It is longer than any run.
pub(crate) fn schedule(seed: u64) -> impl Iterator<Item = Planned> {
    let mut dice = Dice::part(seed, 0);
    (0..).flat_map(move |_: u64| {
        let mut round = Fault::ALL;
        dice.shuffle(&mut round);
        round.map(|fault| {
            let (from, to) = fault.lasts_ms();
            Planned {
                pause: dice.milliseconds(200, 700),
                fault,
                replica: if fault.ends_a_replica() { 0 } else { usize::from(dice.wins(50)) },
                lasts: dice.milliseconds(from, to),
                latency: dice.milliseconds(50, 500),
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_schedule_again_and_each_round_has_each_kind() {
        let first: Vec<Planned> = schedule(7).take(40).collect();
        assert_eq!(first, schedule(7).take(40).collect::<Vec<_>>());
        assert_ne!(first, schedule(8).take(40).collect::<Vec<_>>());
        let mut round: Vec<Fault> =
            first.iter().take(Fault::ALL.len()).map(|planned| planned.fault).collect();
        round.sort_unstable();
        assert_eq!(round, Fault::ALL);
        assert!(first.iter().all(|planned| !planned.fault.ends_a_replica() || planned.replica == 0));
    }
}
