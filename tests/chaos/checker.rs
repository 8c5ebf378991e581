//! Histories written by hand: one with each anomaly, and one that nearly has it.

use lcs_domain::Durability;
use lcs_tests::chaos::checker::{Kind, Verdict, check};
use lcs_tests::chaos::history::{Element, Event, NO_REPLICA, Outcome, Page, Placed, Record, Seen, Turn};

const DURABLE: Durability = Durability::Durable;
/// The conversation of these histories, and whose it is.
const CONVERSATION: u64 = 1;
const OWNER: u32 = 0;

/// A history: what happened from when to when, in milliseconds.
#[derive(Default)]
struct Told(Vec<Record>);

impl Told {
    /// A conversation that is begun before anything else.
    fn begun() -> Self {
        Self::default().then(0, 1, Event::Create(Outcome::Ok((), DURABLE)))
    }

    fn then(self, from_ms: u64, to_ms: u64, event: Event) -> Self {
        self.by(OWNER, CONVERSATION, from_ms, to_ms, event)
    }

    fn by(mut self, user: u32, conversation: u64, from_ms: u64, to_ms: u64, event: Event) -> Self {
        let (invoke_ns, return_ns) = (from_ms * 1_000_000, to_ms * 1_000_000);
        self.0.push(Record { client: 0, replica: 0, user, conversation, invoke_ns, return_ns, event });
        self
    }

    /// What is there in the end.
    fn ends(self, elements: &[Element]) -> Self {
        self.ends_with(elements, Seen::default())
    }

    fn ends_with(self, elements: &[Element], state: Seen) -> Self {
        let page = Page { limit: u32::MAX, ..page(Some(0), elements) };
        self.then(9_000, 9_001, Event::Final { page: Some(page), state: Some(state) })
    }

    fn judged(&self) -> Verdict {
        check(&self.0)
    }

    /// Asserts that this is what is found, and nothing else.
    #[track_caller]
    fn has(&self, kinds: &[Kind]) {
        let mut found: Vec<Kind> = self.judged().anomalies.iter().map(|anomaly| anomaly.kind).collect();
        found.dedup();
        assert_eq!(found, kinds, "{:#?}", self.judged().anomalies);
    }

    #[track_caller]
    fn has_none(&self) {
        self.has(&[]);
    }
}

fn appended(element: Element, outcome: Outcome<Placed>) -> Event {
    Event::Append { element, digest: element, state_from: None, outcome }
}

fn ok(turn: u32) -> Outcome<Placed> {
    Outcome::Ok(Placed { turn: Some(turn), revision: 0 }, DURABLE)
}

fn unknown<T>() -> Outcome<T> {
    Outcome::Unknown("cut".into())
}

fn failed<T>() -> Outcome<T> {
    Outcome::Failed("unavailable".into())
}

/// A page of a conversation with these turns.
fn page(after: Option<u32>, elements: &[Element]) -> Page {
    let first = after.unwrap_or_default() + 1;
    let turns: Vec<Turn> =
        (first..).zip(elements).map(|(number, &element)| Turn { number, element, digest: element }).collect();
    let turn_count = after.unwrap_or_default() + u32::try_from(turns.len()).unwrap();
    Page { after, limit: 20, turn_count, turns }
}

fn read(elements: &[Element]) -> Event {
    Event::Read(Outcome::Ok(page(None, elements), DURABLE))
}

fn put(element: Element, from: u64, outcome: Outcome<u64>) -> Event {
    Event::Put { element, from, outcome }
}

fn state(revision: u64, through_turn: u32, element: Element) -> Seen {
    Seen { revision, through_turn, element }
}

fn saw(seen: Seen) -> Event {
    Event::State(Outcome::Ok(seen, DURABLE))
}

#[test]
fn an_ordinary_history_has_nothing() {
    Told::begun()
        .then(2, 3, appended(1, ok(1)))
        .then(2, 5, appended(2, ok(2)))
        .then(4, 6, read(&[1, 2]))
        .then(7, 8, put(3, 0, Outcome::Ok(1, DURABLE)))
        .then(9, 10, saw(state(1, 2, 3)))
        .ends_with(&[1, 2], state(1, 2, 3))
        .has_none();
}

#[test]
fn l1_an_acknowledged_turn_is_missing() {
    Told::begun().then(2, 3, appended(1, ok(1))).ends(&[]).has(&[Kind::Lost]);
    // Nobody was told that it is there.
    Told::begun().then(2, 3, appended(1, unknown())).ends(&[]).has_none();
}

#[test]
fn l1_a_conversation_is_missing() {
    let gone = Event::Final { page: None, state: None };
    Told::begun().then(9_000, 9_001, gone.clone()).has(&[Kind::Lost]);
    let deleted = Event::Delete(Outcome::Unknown("cut".into()));
    Told::begun().then(2, 3, appended(1, ok(1))).then(4, 5, deleted).then(9_000, 9_001, gone).has_none();
}

#[test]
fn l1_retention_removes_what_has_woken_up() {
    let told = |woken_ms| {
        Told::begun()
            .then(2, 3, appended(1, ok(1)))
            .then(4, 5, Event::Aged)
            .then(woken_ms, 7, appended(2, ok(2)))
            .then(8, 9, Event::Purged)
            .then(9_000, 9_001, Event::Final { page: None, state: None })
    };
    told(6).has(&[Kind::Lost]);
    // It may have been appended before the conversation was made to look idle.
    told(4).has_none();
}

#[test]
fn l2_an_element_stands_twice() {
    let once = Told::begun().then(2, 3, appended(1, ok(1))).then(2, 4, appended(2, ok(2)));
    once.ends(&[1, 2]).has_none();
    let twice = Told::begun().then(2, 3, appended(1, unknown())).then(2, 4, appended(2, ok(2)));
    twice.ends(&[1, 2, 1]).has(&[Kind::Duplicate]);
}

#[test]
fn l3_what_nobody_wrote_or_was_refused_is_there() {
    Told::begun().ends(&[7]).has(&[Kind::Phantom]);
    Told::begun().then(2, 3, appended(1, failed())).ends(&[1]).has(&[Kind::Phantom]);
    Told::begun().then(2, 3, appended(1, Outcome::Absent)).ends(&[1]).has(&[Kind::Phantom, Kind::Stale]);
    Told::begun().then(2, 3, appended(1, unknown())).ends(&[1]).has_none();
}

#[test]
fn l3_other_content_than_was_written_is_there() {
    let mut whole = page(Some(0), &[1]);
    whole.turns[0].digest = 99;
    let last = Event::Final { page: Some(whole), state: None };
    Told::begun().then(2, 3, appended(1, ok(1))).then(9_000, 9_001, last).has(&[Kind::Phantom]);
}

#[test]
fn l3_it_was_read_before_it_was_written() {
    Told::begun().then(2, 3, read(&[1])).then(4, 5, appended(1, ok(1))).ends(&[1]).has(&[Kind::Phantom]);
    Told::begun().then(2, 4, read(&[1])).then(3, 5, appended(1, ok(1))).ends(&[1]).has_none();
}

#[test]
fn l3_what_was_deleted_comes_back() {
    let told = |asked_ms| {
        Told::begun()
            .then(2, 3, appended(1, ok(1)))
            .then(4, 6, Event::Delete(Outcome::Ok((), DURABLE)))
            .then(asked_ms, 9, read(&[1]))
            .then(9_000, 9_001, Event::Final { page: None, state: None })
    };
    told(7).has(&[Kind::Phantom]);
    told(5).has_none();
    Told::begun().then(2, 3, Event::Delete(Outcome::Ok((), DURABLE))).ends(&[]).has(&[Kind::Phantom]);
}

#[test]
fn l4_a_turn_stands_elsewhere_later() {
    let told = || Told::begun().then(2, 5, appended(1, unknown())).then(2, 5, appended(2, unknown()));
    told().then(3, 4, read(&[2])).ends(&[1, 2]).has(&[Kind::Reorder]);
    told().then(3, 4, read(&[1])).ends(&[1, 2]).has_none();
}

#[test]
fn l5_what_was_acknowledged_first_stands_behind() {
    let told = |second_ms| {
        Told::begun().then(2, 3, appended(1, no_number())).then(second_ms, 6, appended(2, no_number()))
    };
    told(4).ends(&[2, 1]).has(&[Kind::RealTime]);
    told(2).ends(&[2, 1]).has_none();
}

fn no_number() -> Outcome<Placed> {
    Outcome::Ok(Placed { turn: None, revision: 0 }, DURABLE)
}

#[test]
fn l5_it_does_not_stand_where_it_was_said_to() {
    Told::begun().then(2, 3, appended(1, ok(2))).ends(&[1]).has(&[Kind::RealTime]);
}

#[test]
fn l6_a_read_lacks_what_was_acknowledged() {
    let told =
        |asked_ms| Told::begun().then(2, 4, appended(1, ok(1))).then(asked_ms, 6, read(&[])).ends(&[1]);
    told(5).has(&[Kind::Stale]);
    told(3).has_none();
}

#[test]
fn l6_a_later_read_shows_less() {
    let told = |asked_ms| {
        Told::begun()
            .then(2, 20, appended(1, unknown()))
            .then(3, 4, read(&[1]))
            .then(asked_ms, 6, read(&[]))
            .ends(&[1])
    };
    told(5).has(&[Kind::Stale]);
    told(3).has_none();
}

#[test]
fn l6_a_state_is_older_than_one_that_was_acknowledged() {
    let told = |asked_ms| {
        Told::begun()
            .then(2, 4, put(1, 0, Outcome::Ok(1, DURABLE)))
            .then(asked_ms, 6, saw(Seen::default()))
            .ends_with(&[], state(1, 0, 1))
    };
    told(5).has(&[Kind::Stale]);
    told(3).has_none();
}

#[test]
fn l6_an_empty_history_is_served_during_an_outage() {
    let empty = |durability| Event::Read(Outcome::Ok(page(None, &[]), durability));
    let told = |said| Told::begun().then(2, 3, appended(1, ok(1))).then(4, 5, empty(said)).ends(&[1]);
    told(Durability::Volatile).has(&[Kind::Stale]);
    told(Durability::Journaled).has(&[Kind::Stale]);
    // A history that is marked, and has some of it, is what is promised.
    let some = Event::Read(Outcome::Ok(page(None, &[1]), Durability::Journaled));
    let two = Told::begun().then(2, 3, appended(1, ok(1))).then(2, 3, appended(2, ok(2)));
    two.then(4, 5, some).ends(&[1, 2]).has_none();
}

#[test]
fn l6_a_conversation_is_said_not_to_be_there() {
    let told = |asked_ms| {
        Told::default()
            .then(0, 2, Event::Create(Outcome::Ok((), DURABLE)))
            .then(asked_ms, 5, Event::Read(Outcome::Absent))
            .ends(&[])
    };
    told(3).has(&[Kind::Stale]);
    told(1).has_none();
    let lists =
        |listed: Vec<u64>| Told::begun().then(3, 4, Event::List(Outcome::Ok(listed, DURABLE))).ends(&[]);
    lists(vec![]).has(&[Kind::Stale]);
    lists(vec![CONVERSATION]).has_none();
}

#[test]
fn l7_numbers_have_a_gap() {
    let mut whole = page(Some(0), &[1, 2]);
    whole.turns[1].number = 3;
    let last = Event::Final { page: Some(whole), state: None };
    let told = Told::begun().then(2, 3, appended(1, ok(1))).then(2, 3, appended(2, no_number()));
    told.then(9_000, 9_001, last).has(&[Kind::Gap]);
}

#[test]
fn l8_a_page_does_not_hold_what_it_counts() {
    let told = |turn_count| {
        let shown = Page { turn_count, ..page(None, &[1]) };
        Told::begun()
            .then(2, 3, appended(1, ok(1)))
            .then(2, 6, appended(2, ok(2)))
            .then(4, 5, Event::Read(Outcome::Ok(shown, DURABLE)))
            .ends(&[1, 2])
    };
    told(2).has(&[Kind::Torn]);
    told(1).has_none();
}

#[test]
fn l8_a_state_stands_without_its_turn() {
    let append = |outcome| Event::Append { element: 1, digest: 1, state_from: Some(0), outcome };
    let told = |stored: &[Element]| {
        Told::begun()
            .then(2, 5, append(unknown()))
            .then(3, 4, saw(state(1, 1, 1)))
            .ends_with(stored, state(1, 1, 1))
    };
    told(&[]).has(&[Kind::Torn]);
    told(&[1]).has_none();
    // A turn without its state.
    let done = Outcome::Ok(Placed { turn: Some(1), revision: 1 }, DURABLE);
    Told::begun().then(2, 3, append(done)).ends(&[1]).has(&[Kind::Torn]);
}

#[test]
fn l8_a_state_has_seen_turns_that_a_later_read_lacks() {
    let told = |asked_ms| {
        Told::begun()
            .then(2, 20, appended(1, unknown()))
            .then(2, 3, put(2, 0, Outcome::Ok(1, DURABLE)))
            .then(4, 5, saw(state(1, 1, 2)))
            .then(asked_ms, 8, read(&[]))
            .ends_with(&[1], state(1, 1, 2))
    };
    told(6).has(&[Kind::Torn]);
    told(4).has_none();
}

#[test]
fn l8_rows_do_not_fit_together() {
    let ended = |inconsistent| Event::Ended { idle_in_transaction: 0, inconsistent };
    Told::begun().ends(&[]).then(9_100, 9_101, ended(1)).has(&[Kind::Torn]);
    Told::begun().ends(&[]).then(9_100, 9_101, ended(0)).has_none();
}

#[test]
fn l9_two_states_are_made_from_one_revision() {
    let told = |second| {
        Told::begun()
            .then(2, 4, put(1, 0, Outcome::Ok(1, DURABLE)))
            .then(2, 5, put(2, 0, second))
            .ends_with(&[], state(1, 0, 1))
    };
    told(Outcome::Ok(1, DURABLE)).has(&[Kind::LostUpdate, Kind::Torn]);
    told(failed()).has_none();
    told(unknown()).has_none();
    // With a turn it is the same.
    let done = Outcome::Ok(Placed { turn: Some(1), revision: 1 }, DURABLE);
    let append = Event::Append { element: 2, digest: 2, state_from: Some(0), outcome: done };
    let told = Told::begun().then(2, 3, put(1, 0, Outcome::Ok(1, DURABLE))).then(2, 3, append);
    told.ends_with(&[2], state(2, 1, 2)).has(&[Kind::LostUpdate]);
}

#[test]
fn l9_one_revision_is_two_states() {
    let told = |element| {
        Told::begun()
            .then(2, 3, put(1, 0, Outcome::Ok(1, DURABLE)))
            .then(2, 9, put(2, 0, unknown()))
            .then(4, 5, saw(state(1, 0, element)))
            .ends_with(&[], state(1, 0, 1))
    };
    told(2).has(&[Kind::LostUpdate]);
    told(1).has_none();
}

#[test]
fn l10_another_user_is_answered() {
    let told = |outcome| Told::begun().by(OWNER + 1, CONVERSATION, 2, 3, Event::Read(outcome)).ends(&[]);
    told(Outcome::Ok(page(None, &[]), DURABLE)).has(&[Kind::Leak]);
    told(Outcome::Absent).has_none();
    let listed = Event::List(Outcome::Ok(vec![CONVERSATION], DURABLE));
    Told::begun().by(OWNER + 1, 0, 2, 3, listed).ends(&[]).has(&[Kind::Leak]);
}

#[test]
fn l10_an_element_of_another_users_is_there() {
    let told = |user| {
        Told::begun()
            .by(user, 2, 0, 1, Event::Create(Outcome::Ok((), DURABLE)))
            .by(user, 2, 2, 3, appended(1, unknown()))
            .by(user, 2, 9_000, 9_001, Event::Final { page: Some(page(Some(0), &[])), state: None })
            .ends(&[1])
    };
    told(OWNER + 1).has(&[Kind::Leak]);
    told(OWNER).has(&[Kind::Phantom]);
}

#[test]
fn l11_what_was_said_to_be_kept_is_lost() {
    let said = |durability| Outcome::Ok(Placed { turn: None, revision: 0 }, durability);
    let told = |durability| Told::begun().then(2, 3, appended(1, said(durability)));
    told(Durability::Journaled).ends(&[]).has(&[Kind::DurabilityLie]);
    told(Durability::Journaled).ends(&[1]).has_none();
    told(Durability::Journaled).then(5, 5, Event::Refused { element: 1 }).ends(&[]).has_none();
    // Who said that it is not kept has not lied.
    told(Durability::Volatile).ends(&[]).has_none();
    let before = |at_ms| told(DURABLE).then(at_ms, at_ms, Event::Promoted).ends(&[]);
    before(5).has(&[Kind::DurabilityLie]);
    before(1).has(&[Kind::Lost]);
}

#[test]
fn l11_something_is_said_to_be_durable_without_a_database() {
    let told = |asked_ms| {
        Told::begun().then(10, 20, Event::Outage).then(asked_ms, 15, appended(1, ok(1))).ends(&[1])
    };
    told(11).has(&[Kind::DurabilityLie]);
    told(9).has_none();
}

#[test]
fn l12_no_answer_comes_for_too_long() {
    let told = |answered_ms: u64| {
        let mut told = Told::begun().then(1_000, 1_000, Event::Accepting);
        told = told.then(2_000, answered_ms, read(&[]));
        Told(told.0).then(90_000, 90_001, Event::Final { page: Some(page(Some(0), &[])), state: None })
    };
    told(6_500).has(&[Kind::Liveness]);
    told(5_500).has_none();
    assert_eq!(told(5_500).judged().recoveries_ms, [4_500]);
}

#[test]
fn l12_a_fault_that_comes_meanwhile_is_an_excuse() {
    let mut told = Told::begun().then(1_000, 1_000, Event::Accepting);
    told = told.then(3_000, 3_000, Event::Fault("again".into()));
    told.0.last_mut().unwrap().replica = NO_REPLICA;
    told = told.then(4_000, 4_000, Event::Accepting).then(2_000, 8_000, read(&[])).ends(&[]);
    told.has_none();
    assert_eq!(told.judged().recoveries_ms, [4_000]);
}

#[test]
fn l12_something_is_left_open() {
    let ended = Event::Ended { idle_in_transaction: 1, inconsistent: 0 };
    Told::begun().ends(&[]).then(9_100, 9_101, ended).has(&[Kind::Liveness]);
    // Nobody looked.
    Told::begun().then(2, 3, appended(1, ok(1))).has(&[Kind::Liveness]);
}

#[test]
fn what_was_done_is_counted() {
    let told = Told::begun()
        .then(2, 3, appended(1, ok(1)))
        .then(2, 3, appended(2, unknown()))
        .then(2, 3, appended(3, Outcome::Wrong("500".into())))
        .then(2, 3, Event::Fault("kill".into()));
    let tally = told.judged().tally;
    assert_eq!((tally.of_outcome("append", "ok"), tally.of_outcome("append", "unknown")), (1, 1));
    assert_eq!((tally.wrong.get("500"), tally.faults.get("kill")), (Some(&1), Some(&1)));
}
