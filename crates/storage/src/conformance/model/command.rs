//! The commands of a random history: small numbers that stand for users, conversations, agents and turns,
//! few enough that they meet often.

use proptest::prelude::*;

/// How many conversations a history knows. The agent of the same number belongs to each.
pub(super) const CONVERSATIONS: usize = 3;
/// How many turn ids.
pub(super) const TURNS: usize = 6;
/// How many users.
pub(super) const USERS: usize = 2;

/// What is done, by which user, to which conversation.
#[derive(Debug, Clone)]
pub(super) struct Command {
    pub(super) user: usize,
    pub(super) conversation: usize,
    pub(super) action: Action,
}

/// What is done.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Create {
        agent: usize,
        model: bool,
        external_id: Option<bool>,
    },
    Look,
    List {
        archived: Option<bool>,
        limit: u32,
    },
    Update {
        topic: Option<Topic>,
        archive: Option<bool>,
        metadata: Option<u8>,
    },
    Delete,
    Append {
        turn: usize,
        content: bool,
        expected: Option<Expected>,
        state: Option<State>,
    },
    Turn {
        turn: usize,
    },
    Page {
        range: Range,
        limit: u32,
    },
    /// `seen`: how many turns more than the conversation has.
    Save {
        state: State,
        seen: i32,
    },
    DeleteState {
        agent: usize,
    },
    Age,
    CountDue,
    Purge,
}

/// A topic that an update sets or removes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Topic {
    Set(u8),
    Remove,
}

/// An agent's state that is sent.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) agent: Option<usize>,
    pub(super) config: Option<u8>,
    pub(super) expected: Expected,
}

/// A count or revision that is sent: the one that the model has, or one that is off.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expected {
    Current,
    Off,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Range {
    After(u32),
    Before(u32),
    Newest,
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![5 => Just(Expected::Current), 1 => Just(Expected::Off)]
}

fn state() -> impl Strategy<Value = State> {
    // Mostly the conversation's own agent.
    let agent = prop_oneof![8 => Just(None), 1 => (0..CONVERSATIONS).prop_map(Some)];
    (agent, proptest::option::of(any::<u8>()), expected()).prop_map(|(agent, config, expected)| State {
        agent,
        config,
        expected,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let create = (
        prop_oneof![6 => Just(CONVERSATIONS), 1 => 0..CONVERSATIONS],
        prop::bool::weighted(0.1),
        prop::option::weighted(0.3, any::<bool>()),
    );
    let update = (
        prop::option::of(prop_oneof![any::<u8>().prop_map(Topic::Set), Just(Topic::Remove)]),
        prop::option::weighted(0.4, prop::bool::weighted(0.3)),
        prop::option::of(any::<u8>()),
    );
    let append = (
        0..TURNS,
        prop::bool::weighted(0.15),
        prop::option::weighted(0.4, expected()),
        prop::option::weighted(0.5, state()),
    );
    let range = prop_oneof![
        (0..7_u32).prop_map(Range::After),
        (0..9_u32).prop_map(Range::Before),
        Just(Range::Newest)
    ];
    prop_oneof![
        7 => create.prop_map(|(agent, model, external_id)| Action::Create { agent, model, external_id }),
        3 => Just(Action::Look),
        2 => (prop::option::of(any::<bool>()), 1..4_u32)
            .prop_map(|(archived, limit)| Action::List { archived, limit }),
        3 => update.prop_map(|(topic, archive, metadata)| Action::Update { topic, archive, metadata }),
        1 => Just(Action::Delete),
        10 => append.prop_map(|(turn, content, expected, state)| Action::Append { turn, content, expected, state }),
        2 => (0..TURNS).prop_map(|turn| Action::Turn { turn }),
        3 => (range, 1..5_u32).prop_map(|(range, limit)| Action::Page { range, limit }),
        4 => (state(), prop_oneof![4 => Just(0), 2 => Just(-1), 1 => Just(1)])
            .prop_map(|(state, seen)| Action::Save { state, seen }),
        1 => (0..CONVERSATIONS).prop_map(|agent| Action::DeleteState { agent }),
        1 => Just(Action::Age),
        1 => Just(Action::CountDue),
        1 => Just(Action::Purge),
    ]
}

/// Any command.
pub(super) fn command() -> impl Strategy<Value = Command> {
    // Mostly the user that the conversations of even numbers are meant for.
    (prop_oneof![4 => Just(0), 1 => 1..USERS], 0..CONVERSATIONS, action()).prop_map(
        |(user, conversation, action)| Command { user: (user + conversation) % USERS, conversation, action },
    )
}
