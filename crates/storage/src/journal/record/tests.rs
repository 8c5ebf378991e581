use super::*;
use lcs_domain::metadata::Mark;
use proptest::prelude::*;

fn payload(json: &str) -> Payload {
    Payload::parse(json).unwrap()
}

fn name(text: &str) -> Text {
    Text::name(text, "").unwrap()
}

fn metadata() -> Metadata {
    Metadata::parse(r#"{"a":[1,2.5,"\u00e9"],"n":null}"#).unwrap()
}

fn turn(input: &str, output: Option<&str>, metadata: Metadata) -> NewTurn {
    let at = |micros| DateTime::from_timestamp_micros(micros).unwrap();
    let output = output.map(payload);
    // The first and the last microsecond that a turn may have.
    let (first, last) = (at(-62_135_596_800_000_000), at(253_402_300_799_999_999));
    NewTurn::new(TurnId::generate(), payload(input), output, first, last, metadata).unwrap()
}

fn append(turn: NewTurn, agent_state: Option<AgentStateUpdate>) -> JournalOperation {
    JournalOperation::Append(AppendTurn {
        conversation_id: ConversationId::generate(),
        turn,
        expected_turn_count: agent_state.is_some().then_some(u32::MAX),
        agent_state,
    })
}

fn update(update: ConversationUpdate) -> JournalOperation {
    based(update, UpdateBase::default())
}

fn based(update: ConversationUpdate, base: UpdateBase) -> JournalOperation {
    JournalOperation::Update { conversation_id: ConversationId::generate(), update, base }
}

fn save(agent_config: Option<&str>, current_state: Option<&str>) -> JournalOperation {
    JournalOperation::Save(SaveAgentState {
        agent_id: AgentId::generate(),
        conversation_id: ConversationId::generate(),
        agent_config: agent_config.map(payload),
        current_state: current_state.map(payload),
        expected_revision: u64::MAX,
        through_turn: 7,
    })
}

fn operations() -> Vec<JournalOperation> {
    let whole = NewConversation {
        system_prompt: Some(Text::prompt("be \"kind\"\n\u{1F600}", "").unwrap()),
        metadata: metadata(),
        topic_summary: Some(Text::summary("", "").unwrap()),
        external_id: Some(name("conv_1")),
        ..NewConversation::begin(name("m"))
    };
    let state = AgentStateUpdate {
        agent_id: AgentId::generate(),
        agent_config: Some(payload("null")),
        current_state: payload(r#"{"memory":"\u0000","n":1e300}"#),
        expected_revision: 3,
    };
    let marked = metadata().marked(Mark::Interleaved).unwrap().marked(Mark::Late).unwrap();
    vec![
        JournalOperation::Create(whole),
        JournalOperation::Create(NewConversation::begin(name("m"))),
        update(ConversationUpdate::default()),
        update(ConversationUpdate {
            topic_summary: Some(None),
            status: Some(OpenStatus::Archived),
            metadata: Some(metadata()),
            expected_updated_at: None,
        }),
        update(ConversationUpdate {
            topic_summary: Some(Some(name("topic"))),
            status: Some(OpenStatus::Active),
            metadata: None,
            expected_updated_at: None,
        }),
        based(
            ConversationUpdate { metadata: Some(Metadata::default()), ..ConversationUpdate::default() },
            UpdateBase {
                seen: Some(ConversationUpdate {
                    topic_summary: Some(None),
                    status: Some(OpenStatus::Active),
                    metadata: Some(metadata()),
                    expected_updated_at: None,
                }),
                tried_on: DateTime::from_timestamp_micros(1_795_000_000_000_001),
            },
        ),
        append(turn("[\"\\u0000\"]", None, Metadata::default()), None),
        append(turn("18446744073709551615", Some("null"), marked), Some(state)),
        append(turn("-0.0", Some(&format!("{}1{}", "[".repeat(64), "]".repeat(64))), metadata()), None),
        save(None, None),
        save(Some("{}"), Some("null")),
    ]
}

#[test]
fn every_operation_comes_back_as_it_was() {
    for operation in operations() {
        let bytes = encode(&operation).unwrap();
        let read = decode(1, &bytes).unwrap();
        assert_eq!(read, operation, "{}", String::from_utf8_lossy(&bytes));
        // Equality of payloads is by value; what is written of it is the same again, too.
        assert_eq!(encode(&read).unwrap(), bytes);
        if let (JournalOperation::Append(one), JournalOperation::Append(other)) = (&operation, &read) {
            assert_eq!(one.turn.content_hash(), other.turn.content_hash());
        }
    }
}

#[test]
fn what_a_store_gave_back_is_kept_by_value() {
    let JournalOperation::Save(mut save) = save(None, None) else { unreachable!() };
    save.current_state = Some(Payload::from_stored(r#"{"b": 1.0, "a": 2}"#.to_owned()));
    let operation = JournalOperation::Save(save);
    assert_eq!(decode(1, &encode(&operation).unwrap()).unwrap(), operation);
}

#[test]
fn a_later_format_is_told_from_damage() {
    let said = |json: &str| decode(42, json.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        said(r#"{"format":2,"operation":{"merge":{}},"key":"hunter2"}"#),
        "inconsistent row 42 in journal_entries.operation: of a format that this program does not know: run \
         the newest program that wrote it"
    );
    let id = ConversationId::generate();
    let damaged = [
        String::new(),
        "{}".to_owned(),
        "hunter2".to_owned(),
        r#"{"format":1}"#.to_owned(),
        r#"{"format":1,"operation":{"hunter2":{}}}"#.to_owned(),
        format!(r#"{{"format":1,"operation":{{"update":{{"conversation_id":"{id}","hunter2":1}}}}}}"#),
        format!(r#"{{"format":1,"operation":{{"update":{{"conversation_id":"{id}"}}}},"hunter2":1}}"#),
        format!(r#"{{"format":1,"operation":{{"update":{{"conversation_id":"{id}","status":"deleted"}}}}}}"#),
        format!(r#"{{"format":1,"operation":{{"update":{{"conversation_id":"{id}","metadata":[]}}}}}}"#),
        format!(
            r#"{{"format":1,"operation":{{"update":{{"conversation_id":"{id}","topic_summary":"\u0000"}}}}}}"#
        ),
    ];
    for json in damaged {
        let expected = "inconsistent row 42 in journal_entries.operation: not a record of an operation";
        assert_eq!(said(&json), expected, "{json}");
    }
}

#[test]
fn no_cut_and_no_single_changed_byte_is_read_as_something_else_than_it_says() {
    for operation in operations() {
        let bytes = encode(&operation).unwrap();
        for end in 0..bytes.len() {
            decode(1, &bytes[..end]).unwrap_err();
        }
        for place in 0..bytes.len() {
            for byte in [0, b'"', b'}', b'9', 0xff] {
                let mut changed = bytes.clone();
                changed[place] = byte;
                // The row's checksum sees the change; here it is only that nothing panics or is half read.
                if let Ok(read) = decode(1, &changed) {
                    assert_eq!(decode(1, &encode(&read).unwrap()).unwrap(), read);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(1, &bytes);
    }

    #[test]
    fn any_text_is_kept(text in any::<String>()) {
        let json = serde_json::to_string(&text).unwrap();
        let operation = append(turn(&json, Some(&json), Metadata::default()), None);
        prop_assert_eq!(decode(1, &encode(&operation).unwrap()).unwrap(), operation);
    }
}
