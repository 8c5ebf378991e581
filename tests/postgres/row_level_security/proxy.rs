//! A proxy that reads along: it can name another user in the setting, and hold answers back.

use std::sync::{Arc, Mutex};

use lcs_domain::UserId;
use lcs_storage::postgres::{PostgresConfig, SslMode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// What a proxy does to what passes; shared with the test.
#[derive(Default)]
pub(crate) struct Ways {
    /// In the setting, the first user is replaced by the second.
    pub(crate) renamed: Option<(UserId, UserId)>,
    /// How many answers have to be there before the first of them is passed on.
    pub(crate) together: usize,
    /// How many answers have passed.
    pub(crate) answers: usize,
}

/// The configuration that goes through a new proxy.
pub(crate) async fn before(config: PostgresConfig) -> (PostgresConfig, Arc<Mutex<Ways>>) {
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let through = PostgresConfig {
        host: "127.0.0.1".into(),
        port: proxy.local_addr().unwrap().port(),
        ssl_mode: SslMode::Disable,
        ..config.clone()
    };
    let ways = Arc::new(Mutex::new(Ways { together: 1, ..Ways::default() }));
    let shared = Arc::clone(&ways);
    tokio::spawn(async move {
        loop {
            let (client, _) = proxy.accept().await.unwrap();
            let server = TcpStream::connect((config.host.clone(), config.port)).await.unwrap();
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(forth(from_client, to_server, Arc::clone(&shared)));
            tokio::spawn(back(from_server, to_client, Arc::clone(&shared)));
        }
    });
    (through, ways)
}

/// Passes whole messages of the client's on.
async fn forth(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, ways: Arc<Mutex<Ways>>) {
    // The first message has no kind.
    let mut startup = true;
    loop {
        let mut message = Vec::new();
        if !startup {
            let Ok(kind) = client.read_u8().await else { return };
            message.push(kind);
        }
        startup = false;
        let Ok(length) = client.read_u32().await else { return };
        let mut body = vec![0; length as usize - 4];
        if client.read_exact(&mut body).await.is_err() {
            return;
        }
        let renamed = ways.lock().unwrap().renamed;
        if let Some((from, to)) = renamed.filter(|_| message == b"Q") {
            let text = String::from_utf8(body).unwrap();
            body = text.replace(&from.to_string(), &to.to_string()).into_bytes();
        }
        message.extend(length.to_be_bytes());
        message.extend(body);
        if server.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Passes the server's messages on, so many answers at a time.
async fn back(mut server: OwnedReadHalf, mut client: OwnedWriteHalf, ways: Arc<Mutex<Ways>>) {
    let (mut held, mut answers) = (Vec::new(), 0);
    while let Ok(kind) = server.read_u8().await {
        let Ok(length) = server.read_u32().await else { return };
        let mut body = vec![0; length as usize - 4];
        if server.read_exact(&mut body).await.is_err() {
            return;
        }
        held.push(kind);
        held.extend(length.to_be_bytes());
        held.extend(body);
        let together = ways.lock().unwrap().together;
        if kind == b'Z' {
            answers += 1;
            ways.lock().unwrap().answers += 1;
        }
        // Before the first of them nothing is asked: what belongs to the handshake passes.
        if together == 1 || answers == together {
            answers = 0;
            if client.write_all(&std::mem::take(&mut held)).await.is_err() {
                return;
            }
        }
    }
}
