//! What the console shows: a few users' conversations, one with tools and a state, one that is long.

use serde_json::{Value, json};

use crate::client::Client;
use crate::process::{CANARY, Process};

pub(super) const KEY: &str = "an-operators-own-key";

/// What was begun.
pub(super) struct Stage {
    /// The one that is read, held and deleted.
    pub(super) conversation: String,
    /// One with many turns.
    pub(super) other: String,
}

impl Stage {
    pub(super) async fn set(process: &Process) -> Self {
        let client = &process.client;
        for (user, topic, turns) in [
            ("grace", "Which image does the build use?", 3),
            ("linus", "Rotate the certificates of a node", 1),
            ("grace", "Quota of a namespace, and who has used it up", 5),
            ("barbara", "Explain this stack trace", 2),
            (
                "linus",
                "Draft a change request for the storage class migration of the two production clusters",
                4,
            ),
        ] {
            let client = client.user(user);
            let id = begin(&client, &json!({ "topic_summary": topic, "model_id": "granite-3.3-8b" })).await;
            for number in 1..=turns {
                say(&client, &id, &format!("{topic} ({number})"), "Here is what I found.").await;
            }
        }
        let other = begin(
            &client.user("barbara"),
            &json!({ "topic_summary": "A long night with the ingress controller" }),
        )
        .await;
        for number in 1..=45 {
            let question = format!("And what does line {number} of the log mean?");
            say(&client.user("barbara"), &other, &question, "It is a health check that came too late.").await;
        }
        let conversation = made(
            client,
            &json!({
                "topic_summary": "Why do pods restart after the upgrade?",
                "model_id": "granite-3.3-8b",
                "system_prompt": "You help people who look after OpenShift clusters. Say what you know, and what you do not.",
                "metadata": { "cluster": "prod-eu-1", "ticket": 4711 },
            }),
        )
        .await;
        let agent_id = conversation["agent_id"].clone();
        let conversation = conversation["conversation_id"].as_str().unwrap().to_owned();
        converse(client, &conversation, agent_id).await;
        Self { conversation, other }
    }

    pub(super) fn last_digits(&self) -> String {
        self.conversation.get(30..).unwrap().to_owned()
    }
}

async fn begin(client: &Client, body: &Value) -> String {
    made(client, body).await["conversation_id"].as_str().unwrap().to_owned()
}

async fn made(client: &Client, body: &Value) -> Value {
    client.post("/v1/conversations", body).await.expect(201)
}

async fn say(client: &Client, id: &str, question: &str, answer: &str) {
    let body = json!({
        "input_messages": [{ "role": "user", "content": question }],
        "output_message": { "role": "assistant", "content": answer },
        "started_at": "2026-11-25T09:14:07.2Z",
        "completed_at": "2026-11-25T09:14:09.9Z",
        "metadata": { "model": "granite-3.3-8b", "provider": "vllm" },
    });
    client.post(&format!("/v1/conversations/{id}/turns"), &body).await.expect(201);
}

async fn converse(client: &Client, id: &str, agent_id: Value) {
    let path = format!("/v1/conversations/{id}/turns");
    let first = json!({
        "input_messages": [{ "role": "user", "content": format!(
            "Since the upgrade to 4.20 the pods of our payment service restart every ten minutes. Where do I look? ({CANARY})") }],
        "output_message": {
            "role": "assistant",
            "content": "Exit code 137 says that the kernel ended them for want of memory.\n\n\
                        1. Compare the limit with what they use: `oc adm top pod -n payment`\n\
                        2. The upgrade raised the JVM's default heap to 75 % of the limit.\n\
                        3. Set -XX:MaxRAMPercentage=60, or raise the limit to 1 Gi.",
            "tool_calls": [{ "name": "oc_get_events", "id": "call-1", "arguments": { "namespace": "payment", "since": "1h" } }],
            "tool_results": [{ "id": "call-1", "content": "12m Warning BackOff pod/payment-7c9f: restarting failed container, exit code 137" }],
        },
        "started_at": "2026-11-25T09:12:30Z",
        "completed_at": "2026-11-25T09:12:41.3Z",
        "metadata": { "model": "granite-3.3-8b", "provider": "vllm" },
        "agent_state": {
            "agent_id": agent_id,
            "agent_config": { "runtime": "openshift-assistant", "temperature": 0.2, "tools": ["oc_get_events", "oc_describe"] },
            "current_state": { "facts": ["payment-7c9f ends with 137", "the limit is 768 Mi"], "open_questions": 1 },
            "expected_revision": 0,
        },
    });
    client.post(&path, &first).await.expect(201);
    say(
        client,
        id,
        "And if somebody writes <script>document.title = 'taken'</script> into a ticket?",
        "Then it is text, here as there.",
    )
    .await;
}
