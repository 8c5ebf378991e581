//! The service against the library: the same appends and reads, over HTTP and by calls, on one cluster.

use lcs_benches::Result;
use lcs_benches::workload::Workload;
use lcs_storage::testing::PrivateCluster;

use crate::cell::Cell;
use crate::contender::Contender;
use crate::options::Options;
use crate::tell;

/// What both can do.
const WORKLOADS: [Workload; 2] = [Workload::Append, Workload::NewestTurns];
/// How many clients there are, unless the command line says.
const CONCURRENCY: u64 = 32;

pub(crate) async fn measure(cluster: &PrivateCluster, options: &Options) -> Result<Vec<Cell>> {
    let (of_library, of_service) = (cluster.database().await, cluster.database().await);
    tell("loading the rows, twice")?;
    let mut library = Contender::start("pg", options, &of_library)?;
    library.ask_done(r#"{"cmd":"setup"}"#)?;
    let mut service = Contender::start("http", options, &of_service)?;
    service.ask_done(r#"{"cmd":"setup"}"#)?;
    let mut cells = Vec::new();
    for workload in WORKLOADS {
        for concurrency in options.clients().unwrap_or_else(|| vec![CONCURRENCY]) {
            let cell = Cell::measure(
                workload,
                concurrency,
                options,
                |seed| library.slice(workload, concurrency, options, seed),
                |seed| service.slice(workload, concurrency, options, seed),
            )?;
            tell(&cell.to_string())?;
            cells.push(cell);
        }
    }
    library.quit()?;
    service.quit()?;
    Ok(cells)
}
