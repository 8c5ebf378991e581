//! `chat`: one turn, or a conversation line by line.

use std::io::{self, BufRead, IsTerminal};
use std::pin::pin;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;
use lcs_app::PersistenceManager;
use lcs_app::PersistentAgentManager;
use lcs_app::agent_manager::{AgentManagerError, TurnAnswer, TurnRequest};
use lcs_domain::{ConversationId, Durability, Metadata, PayloadLimits, Text, TurnId, UserId};
use serde::Serialize;
use tokio::sync::mpsc;

use super::stop::Stop;
use super::{Context, User, message};
use crate::output::{Output, note, text};

/// The model of the built-in agent.
const MODEL: &str = "echo";
const HELP: &str = "Say anything. /quit or Ctrl-D ends, /help shows this. The conversation is kept.";

#[derive(Args)]
pub(super) struct Chat {
    /// Say this, print the answer and end.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    once: Option<String>,
    /// Go on with this conversation, instead of a new one.
    #[arg(long, value_name = "ID")]
    conversation: Option<ConversationId>,
    #[command(flatten)]
    user: User,
}

/// A turn as `--json` prints it.
#[derive(Serialize)]
struct Answer {
    conversation_id: ConversationId,
    turn_number: Option<u32>,
    response: String,
    durability: Durability,
}

impl Chat {
    pub(super) async fn run(self, context: Context) -> Result<ExitCode> {
        let limits = context.configuration.payload_limits;
        // Before anything is opened: from here on a turn that has begun is finished.
        let stop = Stop::listen();
        let manager = PersistenceManager::initialize(context.configuration).await?;
        let mut session = Session {
            agents: manager.agent_manager().clone(),
            user_id: self.user.user,
            conversation_id: self.conversation,
            limits,
            output: context.output,
            stop,
        };
        if self.conversation.is_some() {
            session.agent().await?;
        }
        match self.once {
            Some(text) => {
                session.turn(&text).await?;
            }
            None => session.converse().await?,
        }
        session.farewell();
        Ok(ExitCode::SUCCESS)
    }
}

/// Whether the conversation goes on after a turn.
#[derive(PartialEq, Eq)]
enum Next {
    Line,
    End,
}

struct Session {
    agents: PersistentAgentManager,
    user_id: UserId,
    /// `None` until the first turn of a new conversation: one without any turn is never made.
    conversation_id: Option<ConversationId>,
    limits: PayloadLimits,
    output: Output,
    stop: Stop,
}

impl Session {
    /// Reads lines and answers them until they end, or until the process is asked to.
    async fn converse(&mut self) -> Result<()> {
        let person = io::stdin().is_terminal() && io::stdout().is_terminal() && !self.output.is_json();
        if person {
            note(&format!("You are talking to the built-in {MODEL} agent. {HELP}"));
        }
        let mut lines = lines();
        loop {
            if person {
                self.output.prompt("> ")?;
            }
            let line = tokio::select! {
                line = lines.recv() => line,
                () = self.stop.requested() => None,
            };
            let Some(line) = line.transpose()? else {
                // The prompt's line is still open.
                return if person { Ok(self.output.line("")?) } else { Ok(()) };
            };
            match line.trim() {
                "" => {}
                "/quit" | "/exit" => return Ok(()),
                "/help" => note(HELP),
                _ => match self.turn(&line).await {
                    Ok(Next::Line) => {}
                    Ok(Next::End) => return Ok(()),
                    // A person can say it again; a program that goes on would not notice.
                    Err(error) if person && can_be_said_again(&error) => {
                        note(&format!("error: {}", super::sentence(&error)));
                    }
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Says `text`, and prints the answer once it is stored.
    async fn turn(&mut self, text: &str) -> Result<Next> {
        let input_messages = message::said(text, self.limits)?;
        let conversation_id = self.agent().await?;
        let turn_id = TurnId::generate();
        let request = TurnRequest { turn_id, input_messages, metadata: Metadata::default() };
        let turn = self.agents.respond(self.user_id, conversation_id, request);
        let (answer, next) = finished(turn, turn_id, &mut self.stop).await?;
        match answer {
            Ok(answer) => self.print(&answer)?,
            Err(error) => {
                // What the agent said is not lost with its turn.
                if let AgentManagerError::NotStored { answer, .. } = &error {
                    note(&text::lines(&message::text(answer)));
                }
                return Err(error.into());
            }
        }
        Ok(next)
    }

    /// The conversation, with its agent ready: a new one where there is none yet.
    async fn agent(&mut self) -> Result<ConversationId> {
        let model_id = Text::name(MODEL, "/model_id")?;
        let agent =
            self.agents.get_or_create_agent(self.user_id, self.conversation_id, model_id, None).await?;
        self.conversation_id = Some(agent.conversation_id);
        Ok(agent.conversation_id)
    }

    fn print(&mut self, answer: &TurnAnswer) -> io::Result<()> {
        let response = message::text(&answer.output_message);
        if self.output.is_json() {
            return self.output.json(&Answer {
                conversation_id: answer.conversation_id,
                turn_number: answer.turn_number,
                response,
                durability: answer.durability,
            });
        }
        self.output.line(&text::lines(&response))?;
        if answer.durability != Durability::Durable {
            note(&format!("this turn is {}: it is not in the database", answer.durability));
        }
        Ok(())
    }

    /// Says how to go on another time.
    fn farewell(&self) {
        if let Some(conversation_id) = self.conversation_id
            && !self.output.is_json()
        {
            note(&format!("Go on with: lcs-persistence chat --conversation {conversation_id}"));
        }
    }
}

/// Waits for the turn, also where the process is asked to end meanwhile: but not where it is asked twice.
async fn finished<T>(turn: impl Future<Output = T>, turn_id: TurnId, stop: &mut Stop) -> Result<(T, Next)> {
    let mut turn = pin!(turn);
    tokio::select! {
        biased;
        answer = &mut turn => return Ok((answer, Next::Line)),
        () = stop.requested() => note("finishing this turn; once more ends at once"),
    }
    tokio::select! {
        biased;
        answer = &mut turn => Ok((answer, Next::End)),
        () = stop.requested() => {
            Err(anyhow!("ended within a turn: whether turn {turn_id} is stored is not known"))
        }
    }
}

fn can_be_said_again(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<AgentManagerError>().and_then(AgentManagerError::repository_error);
    error.is_some_and(lcs_domain::RepositoryError::is_retryable)
}

/// The lines of standard input. A thread of its own reads them: a read that waits cannot be given up,
/// and must not keep the process from ending.
fn lines() -> mpsc::Receiver<io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// A turn that is done when it is told to be, and a process that is asked to end `times` meanwhile.
    async fn interrupted(times: u32) -> (Result<(u32, Next)>, bool) {
        let (asked, mut stop) = Stop::by_hand();
        let (done, turn) = oneshot::channel();
        let ended = tokio::spawn(async move {
            finished(async { turn.await.unwrap() }, TurnId::generate(), &mut stop).await
        });
        for _ in 0..times {
            asked.send_modify(|count| *count += 1);
            // The current-thread runtime: it has taken note before we go on.
            tokio::task::yield_now().await;
        }
        let waits = done.send(7).is_ok();
        (ended.await.unwrap(), waits)
    }

    #[tokio::test]
    async fn a_turn_is_finished_when_the_process_is_asked_to_end() {
        assert!(matches!(interrupted(0).await, (Ok((7, Next::Line)), true)));
        assert!(matches!(interrupted(1).await, (Ok((7, Next::End)), true)));
    }

    #[tokio::test]
    async fn asked_twice_the_process_ends_at_once_and_says_what_that_means() {
        let (ended, waits) = interrupted(2).await;
        let said = ended.err().unwrap().to_string();
        assert!(!waits && said.contains("is stored is not known"), "{said}");
    }
}
