//! The rows in memory, loaded through the services: there is no other way in.

use lcs_app::PersistenceManager;
use lcs_domain::{
    AgentStateUpdate, AppendTurn, Clock as _, Metadata, NewConversation, NewTurn, Payload, SystemClock, Text,
    TurnId,
};

use super::{GROWN, HOT_TURNS, MODEL, SYSTEM_PROMPT, Sizes, agent_id, conversation_id};
use crate::Result;
use crate::payload::{Payloads, VARIANTS};

/// Loads the rows.
///
/// # Errors
/// What the store refuses.
pub async fn load(manager: &PersistenceManager, sizes: Sizes) -> Result<()> {
    let payloads = Payloads::all();
    for number in 1..=sizes.conversations() {
        let with_state = number <= sizes.hot;
        conversation(manager, sizes, number, sizes.turns(number), with_state, &payloads).await?;
    }
    Ok(())
}

/// Makes the conversation of `turns` turns.
///
/// # Errors
/// What the store refuses.
pub async fn grow(manager: &PersistenceManager, sizes: Sizes, turns: u64) -> Result<()> {
    conversation(manager, sizes, GROWN + turns, turns, false, &Payloads::all()).await
}

async fn conversation(
    manager: &PersistenceManager,
    sizes: Sizes,
    number: u64,
    turns: u64,
    with_state: bool,
    payloads: &[Payloads],
) -> Result<()> {
    let (user, service) = (sizes.owner(number), manager.conversation_service());
    let of = |number: u64| {
        let variant = usize::try_from(number % VARIANTS as u64).unwrap_or_default();
        payloads.get(variant).ok_or("there is no such variant")
    };
    let mut new = NewConversation::begin(Text::name(MODEL, "/model_id")?);
    new.conversation_id = conversation_id(number);
    new.agent_id = agent_id(number);
    new.system_prompt = Some(Text::prompt(SYSTEM_PROMPT, "/system_prompt")?);
    new.metadata = Metadata::from_value(&of(number)?.metadata)?;
    service.create_conversation(user, new).await?;
    for place in 1..=turns {
        let (said, now) = (of(number + place)?, SystemClock.now());
        let turn = NewTurn::new(
            TurnId::generate(),
            Payload::from_value(&said.input_messages)?,
            Some(Payload::from_value(&said.output_message)?),
            now,
            now,
            Metadata::from_value(&said.metadata)?,
        )?;
        let state = if with_state && place == HOT_TURNS {
            Some(AgentStateUpdate {
                agent_id: agent_id(number),
                agent_config: Some(Payload::from_value(&of(number)?.agent_config)?),
                current_state: Payload::from_value(&of(number)?.current_state)?,
                expected_revision: 0,
            })
        } else {
            None
        };
        let append = AppendTurn {
            conversation_id: conversation_id(number),
            turn,
            expected_turn_count: None,
            agent_state: state,
        };
        service.append_turn(user, append).await?;
    }
    Ok(())
}
