//! A history, conversation by conversation.

use std::collections::{BTreeMap, HashMap, HashSet};

use lcs_domain::Durability;

use crate::chaos::history::{Element, Event, Outcome, Page, Placed, Record, Seen, Turn};

/// An append of a history.
#[derive(Debug, Clone, Copy)]
pub(super) struct Append<'a> {
    pub(super) record: &'a Record,
    pub(super) element: Element,
    pub(super) state_from: Option<u64>,
    pub(super) outcome: &'a Outcome<Placed>,
}

/// A save of an agent's state.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put<'a> {
    pub(super) record: &'a Record,
    pub(super) element: Element,
    pub(super) from: u64,
    pub(super) outcome: &'a Outcome<u64>,
}

/// An answer that shows a part of the conversation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown<'a, T> {
    pub(super) record: &'a Record,
    pub(super) value: &'a T,
    pub(super) durability: Durability,
}

/// Everything that a history says of one conversation.
#[derive(Debug, Default)]
pub(super) struct Conversation<'a> {
    pub(super) number: u64,
    /// Whose it is, and when it was acknowledged that it had been begun.
    pub(super) created: Option<&'a Record>,
    pub(super) appends: Vec<Append<'a>>,
    pub(super) puts: Vec<Put<'a>>,
    /// Pages that were read.
    pub(super) pages: Vec<Shown<'a, Page>>,
    /// States that were read.
    pub(super) states: Vec<Shown<'a, Seen>>,
    /// What the owner did and was told that there is no such conversation.
    pub(super) absent: Vec<&'a Record>,
    /// From when on it may be gone: the first deletion that may have been done, or retention, began.
    pub(super) gone_from: Option<u64>,
    /// When it was known to be gone.
    pub(super) gone_at: Option<u64>,
    pub(super) aged_at: Option<u64>,
    pub(super) is_purged: bool,
    /// What was there in the end, if that was read.
    pub(super) last: Option<(Option<&'a Page>, Option<&'a Seen>)>,
    /// Which turn stands where: in the end, or where the conversation is gone, as all pages together say.
    pub(super) reference: BTreeMap<u32, Turn>,
    /// Where an element stands.
    pub(super) places: HashMap<Element, u32>,
}

impl<'a> Conversation<'a> {
    /// Whether all turns were read in the end.
    pub(super) fn is_whole(&self) -> bool {
        matches!(self.last, Some((Some(_), _)))
    }

    /// Where an append's turn stands, as far as is known.
    pub(super) fn place(&self, append: &Append<'_>) -> Option<u32> {
        let said = append.outcome.durable().and_then(|placed| placed.turn);
        self.places.get(&append.element).copied().or(said)
    }

    /// When it was begun, if that was in the database.
    pub(super) fn durable(&self) -> Option<&'a Record> {
        let is_durable =
            |event: &Event| matches!(event, Event::Create(outcome) if outcome.durable().is_some());
        self.created.filter(|record| is_durable(&record.event))
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> Option<u32> {
        self.created.map(|record| record.user)
    }

    fn take(&mut self, record: &'a Record) {
        let absent = match &record.event {
            Event::Create(outcome) => {
                if outcome.ok().is_some() {
                    self.created = Some(record);
                }
                false
            }
            Event::Append { element, state_from, outcome, .. } => {
                let (element, state_from) = (*element, *state_from);
                self.appends.push(Append { record, element, state_from, outcome });
                matches!(outcome, Outcome::Absent)
            }
            Event::Put { element, from, outcome } => {
                self.puts.push(Put { record, element: *element, from: *from, outcome });
                matches!(outcome, Outcome::Absent)
            }
            Event::Read(outcome) => {
                let ok = outcome.ok();
                self.pages.extend(ok.map(|(value, durability)| Shown { record, value, durability }));
                matches!(outcome, Outcome::Absent)
            }
            Event::State(outcome) => {
                let ok = outcome.ok();
                self.states.extend(ok.map(|(value, durability)| Shown { record, value, durability }));
                matches!(outcome, Outcome::Absent)
            }
            Event::Delete(outcome) => {
                if !outcome.is_not_done() {
                    self.may_be_gone(record.invoke_ns);
                }
                if outcome.ok().is_some() {
                    self.is_gone(record.return_ns);
                }
                matches!(outcome, Outcome::Absent)
            }
            Event::Purged => {
                self.is_purged = true;
                self.may_be_gone(record.invoke_ns);
                self.is_gone(record.return_ns);
                false
            }
            Event::Aged => {
                self.aged_at = Some(record.return_ns);
                false
            }
            Event::Final { page, state } => {
                self.last = Some((page.as_ref(), state.as_ref()));
                false
            }
            _ => false,
        };
        if absent && (self.owner() == Some(record.user)) {
            self.absent.push(record);
        }
    }

    fn may_be_gone(&mut self, from_ns: u64) {
        self.gone_from = Some(self.gone_from.map_or(from_ns, |known| known.min(from_ns)));
    }

    fn is_gone(&mut self, at_ns: u64) {
        self.gone_at = Some(self.gone_at.map_or(at_ns, |known| known.min(at_ns)));
    }

    fn settle(&mut self) {
        let pages: Vec<&Page> = if let Some((Some(page), _)) = self.last {
            vec![page]
        } else {
            let durable = self.pages.iter().filter(|shown| shown.durability == Durability::Durable);
            durable.map(|shown| shown.value).collect()
        };
        for turn in pages.iter().flat_map(|page| &page.turns) {
            self.reference.entry(turn.number).or_insert(*turn);
        }
        self.places = self.reference.values().map(|turn| (turn.element, turn.number)).collect();
    }
}

/// Whose element something is, and where it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) record: &'a Record,
    pub(super) digest: Option<u64>,
    pub(super) is_not_done: bool,
    /// The revision that the state was made from, if it is one.
    pub(super) state_from: Option<u64>,
}

/// All conversations of a history.
#[derive(Debug)]
pub(super) struct Conversations<'a> {
    by_number: BTreeMap<u64, Conversation<'a>>,
    /// Everything that was ever begun to be written.
    pub(super) written: HashMap<Element, Written<'a>>,
    /// Every list that was read.
    pub(super) lists: Vec<Shown<'a, Vec<u64>>>,
    /// Turns that are in a list of conflicts.
    pub(super) refused: HashSet<Element>,
    /// When a standby became the primary, for the last time.
    pub(super) promoted_ns: Option<u64>,
}

impl<'a> Conversations<'a> {
    pub(super) fn gather(records: &'a [Record]) -> Self {
        let mut gathered = Self {
            by_number: BTreeMap::new(),
            written: HashMap::new(),
            lists: Vec::new(),
            refused: HashSet::new(),
            promoted_ns: None,
        };
        // Whose a conversation is has to be known before anything else about it.
        let (creates, rest): (Vec<&Record>, Vec<&Record>) =
            records.iter().partition(|record| matches!(record.event, Event::Create(_)));
        for record in creates.into_iter().chain(rest) {
            gathered.take(record);
        }
        for conversation in gathered.by_number.values_mut() {
            conversation.settle();
        }
        gathered
    }

    fn take(&mut self, record: &'a Record) {
        match &record.event {
            Event::List(outcome) => {
                let ok = outcome.ok();
                self.lists.extend(ok.map(|(value, durability)| Shown { record, value, durability }));
                return;
            }
            Event::Refused { element } => {
                self.refused.insert(*element);
                return;
            }
            Event::Promoted => {
                self.promoted_ns = Some(record.invoke_ns);
                return;
            }
            Event::Fault(_) | Event::Outage | Event::Accepting | Event::Ended { .. } => return,
            Event::Append { element, digest, state_from, outcome } => {
                let (digest, is_not_done) = (Some(*digest), outcome.is_not_done());
                self.written
                    .insert(*element, Written { record, digest, is_not_done, state_from: *state_from });
            }
            Event::Put { element, from, outcome } => {
                let is_not_done = outcome.is_not_done();
                let state_from = Some(*from);
                self.written.insert(*element, Written { record, digest: None, is_not_done, state_from });
            }
            _ => {}
        }
        let conversation = self.by_number.entry(record.conversation).or_default();
        conversation.number = record.conversation;
        conversation.take(record);
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Conversation<'a>> {
        self.by_number.values()
    }

    pub(super) fn get(&self, number: u64) -> Option<&Conversation<'a>> {
        self.by_number.get(&number)
    }
}
