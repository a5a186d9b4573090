//! Fuzz target of the model's stream: bytes as they come from the network.

use std::convert::Infallible;

use futures::executor::block_on;
use futures::{StreamExt as _, stream};

use crate::base::fuzz::choice;
use crate::base::sse::events;
use crate::llm::assemble::{Assembler, Delta};
use crate::llm::error::ModelError;
use crate::llm::wire::Completion;

/// However the network cuts a stream, the same comes of it; what is no stream is an error.
pub(crate) fn model_stream(data: &[u8]) {
    let (way, bytes) = choice(data);
    let whole = assemble([bytes]);
    let step = usize::from(way).max(1);
    assert_eq!(assemble(bytes.chunks(step)), whole, "in pieces of {step}");
    let ends = whole.iter().filter(|item| matches!(item, Ok(Delta::Done { .. }) | Err(_))).count();
    assert_eq!(ends, 1, "a stream ends once: {whole:?}");
    for delta in whole.iter().flatten() {
        if let Delta::Tool(call) = delta {
            assert!(!call.name.is_empty() && !call.id.is_empty());
            assert!(call.args().is_none_or(|args| args.is_object()));
        }
    }
    for error in whole.iter().filter_map(|item| item.as_ref().err()) {
        assert!(!error.kind().is_empty() && !error.to_string().contains('\n'));
    }
    let _ = serde_json::from_slice::<Completion>(bytes);
}

fn assemble<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Result<Delta, ModelError>> {
    let pieces: Vec<Result<Vec<u8>, Infallible>> =
        pieces.into_iter().map(|piece| Ok(piece.to_vec())).collect();
    let mut events = events(stream::iter(pieces));
    let (mut assembler, mut out) = (Assembler::default(), Vec::new());
    while !assembler.is_done() {
        let fed = match block_on(events.next()) {
            Some(Ok(event)) if event.data.trim().is_empty() => Ok(Vec::new()),
            Some(Ok(event)) => assembler.feed(&event.data),
            Some(Err(_)) => Err(ModelError::Malformed("event too long")),
            None => assembler.close().map(|delta| vec![delta]),
        };
        match fed {
            // How a text is cut depends on the provider's events alone.
            Ok(more) => out.extend(more.into_iter().map(Ok)),
            Err(error) => {
                out.push(Err(error));
                break;
            }
        }
    }
    out
}
