//! The command line of `carillon campaign`.

use std::path::PathBuf;

use super::define::CreateArgs;
use crate::app::cli::client::ApiArgs;

/// Make campaigns, start and stop them, watch them, fetch their results.
///
/// Exit status 1: the API refused or could not be reached, or a watched campaign was cancelled or ran out of time. Rows
/// that were rejected are told, and fail nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct CampaignArgs {
    #[command(flatten)]
    pub(super) api: ApiArgs,
    /// Print what the API answered, as JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) action: Action,
}

/// A list of numbers in a file.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct MapArgs {
    /// Which column is which field, where the header does not say: `--map Telefon:phone_number,Vorname:variables.first_name`.
    #[arg(long, value_name = "COLUMN:FIELD", value_delimiter = ',', value_parser = pair)]
    pub(super) map: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For a person: the first rows, in columns.
    #[default]
    Table,
    /// For a spreadsheet: all of them.
    Csv,
    /// For a program: all of them, a JSON object a line.
    Ndjson,
}

impl Format {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct OutArgs {
    /// How.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Into this file instead of onto the screen; CSV unless --format says otherwise.
    #[arg(long, short)]
    pub(super) out: Option<PathBuf>,
}

impl OutArgs {
    pub(super) fn format(&self) -> Format {
        match (&self.out, self.format) {
            (Some(_), Format::Table) => Format::Csv,
            (_, format) => format,
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct StepArgs {
    /// The campaign's id.
    pub(super) id: String,
    /// Why, for its history.
    #[arg(long)]
    pub(super) why: Option<String>,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Make a campaign; with --list also give it numbers, with --start also start it.
    Create(Box<CreateArgs>),
    /// Add the rows of a file: CSV with a header, or a JSON object a line; either may be gzipped.
    Add {
        /// The campaign's id.
        id: String,
        /// `.csv`, `.tsv`, `.ndjson`, `.jsonl`, each also with `.gz`.
        file: PathBuf,
        #[command(flatten)]
        map: MapArgs,
    },
    /// Tell what would become of a file's rows, or of the campaign's own, without dialing anybody.
    Preflight {
        /// The campaign's id.
        id: String,
        /// A file; without it the campaign's waiting calls.
        file: Option<PathBuf>,
        #[command(flatten)]
        map: MapArgs,
    },
    /// Start dialing.
    Start(StepArgs),
    /// Stop dialing; calls that live go on.
    Pause(StepArgs),
    /// Dial again.
    Resume(StepArgs),
    /// End it: what waits is canceled, what lives is hung up.
    Cancel(StepArgs),
    /// Watch it to its end.
    Watch {
        /// The campaign's id.
        id: String,
    },
    /// How its calls ended.
    Results {
        /// The campaign's id.
        id: String,
        #[command(flatten)]
        out: OutArgs,
    },
    /// Which rows were rejected, and why.
    Rejections {
        /// The campaign's id.
        id: String,
        #[command(flatten)]
        out: OutArgs,
    },
    /// Campaigns, newest first.
    List {
        /// How many, at most 200.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Where it stands: state, counts and history.
    Show {
        /// The campaign's id.
        id: String,
    },
    /// Why its calls are not being dialed.
    Blockers {
        /// The campaign's id.
        id: String,
    },
    /// Call those again that ended so, as a campaign of their own.
    Redial {
        /// The campaign's id.
        id: String,
        /// How they ended: `no_answer`, `busy`, …
        #[arg(long, required = true, value_delimiter = ',')]
        disposition: Vec<String>,
        /// The new campaign's name.
        #[arg(long)]
        name: Option<String>,
        /// Start it.
        #[arg(long)]
        start: bool,
    },
}

/// `COLUMN:FIELD`, both there.
fn pair(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((column, field)) if !column.trim().is_empty() && !field.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("COLUMN:FIELD, such as Telefon:phone_number".into()),
    }
}
