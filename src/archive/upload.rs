//! How bytes get into the bucket: one put for what is short, parts for what is long or of unknown length.

use std::fmt::Display;
use std::pin::Pin;
use std::time::Duration;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};

use super::client::Archive;
use super::error::ArchiveError;

/// The size of a part: the least that S3 takes, which bounds what a node holds of each recording. 10,000 parts make
/// 48 GiB, or a recording of a month.
pub(super) const PART: usize = 5 * 1024 * 1024;
const MOST_PARTS: i32 = 10_000;

/// Stores a short object in one request, which the SDK may repeat.
pub(super) async fn put(
    archive: &Archive,
    key: &str,
    content_type: &str,
    body: Bytes,
) -> Result<(), ArchiveError> {
    let answer = archive
        .s3
        .put_object()
        .bucket(&*archive.bucket)
        .key(key)
        .content_type(content_type)
        .body(ByteStream::from(body))
        .send();
    Box::pin(answer).await.map(|_| ()).map_err(|error| ArchiveError::from_sdk("PutObject", &error))
}

/// Stores what a source yields; returns its length.
pub(super) async fn stream<S, E>(
    archive: &Archive,
    key: &str,
    content_type: &str,
    mut source: Source<S>,
) -> Result<u64, ArchiveError>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Display,
{
    let (mut part, mut last) = source.part().await?;
    if last {
        put(archive, key, content_type, part).await?;
        return Ok(source.taken);
    }
    let mut upload = Multipart::begin(archive, key, content_type).await?;
    let outcome = async {
        loop {
            upload.part(part).await?;
            if last {
                return upload.complete(source.taken).await;
            }
            (part, last) = source.part().await?;
        }
    };
    match outcome.await {
        Ok(()) => Ok(source.taken),
        Err(error) => {
            upload.abort().await;
            Err(error)
        }
    }
}

/// A stream, cut into parts.
pub(super) struct Source<S> {
    stream: Pin<Box<S>>,
    held: BytesMut,
    taken: u64,
    announced: Option<u64>,
    idle: Duration,
    ended: bool,
}

impl<S, E> Source<S>
where
    S: Stream<Item = Result<Bytes, E>> + Send,
    E: Display,
{
    pub(super) fn new(stream: S, announced: Option<u64>, idle: Duration) -> Self {
        Self { stream: Box::pin(stream), held: BytesMut::new(), taken: 0, announced, idle, ended: false }
    }

    /// The next part, full unless it is the last, and whether it is.
    async fn part(&mut self) -> Result<(Bytes, bool), ArchiveError> {
        // One byte more than a part, so that the last one is known when it is handed out.
        while !self.ended && self.held.len() <= PART {
            let next = tokio::time::timeout(self.idle, self.stream.next()).await;
            match next.map_err(|_| ArchiveError::Source(format!("silent for {:?}", self.idle)))? {
                Some(Ok(chunk)) => {
                    self.taken += chunk.len() as u64;
                    self.held.extend_from_slice(&chunk);
                }
                Some(Err(error)) => return Err(ArchiveError::Source(error.to_string())),
                None => self.ended = true,
            }
            self.check_length()?;
        }
        let part = self.held.split_to(self.held.len().min(PART)).freeze();
        Ok((part, self.ended && self.held.is_empty()))
    }

    fn check_length(&self) -> Result<(), ArchiveError> {
        match self.announced {
            Some(announced) if self.taken > announced || (self.ended && self.taken < announced) => {
                Err(ArchiveError::Source(format!("{} bytes came of {announced} announced", self.taken)))
            }
            _ => Ok(()),
        }
    }
}

/// A multipart upload under way. Parts of one that is neither completed nor aborted would be stored, and paid for, for
/// ever, so one that is dropped (a node that shuts down, a caller that gives up) is aborted in the background.
struct Multipart {
    archive: Archive,
    key: String,
    id: String,
    parts: Vec<CompletedPart>,
    open: bool,
}

impl Multipart {
    async fn begin(archive: &Archive, key: &str, content_type: &str) -> Result<Self, ArchiveError> {
        const OPERATION: &str = "CreateMultipartUpload";
        let answer = archive
            .s3
            .create_multipart_upload()
            .bucket(&*archive.bucket)
            .key(key)
            .content_type(content_type)
            .send();
        let answer = Box::pin(answer).await.map_err(|error| ArchiveError::from_sdk(OPERATION, &error))?;
        let id = answer.upload_id.ok_or(ArchiveError::Unavailable {
            operation: OPERATION,
            why: "the answer names no upload".to_owned(),
        })?;
        Ok(Self { archive: archive.clone(), key: key.to_owned(), id, parts: Vec::new(), open: true })
    }

    async fn part(&mut self, body: Bytes) -> Result<(), ArchiveError> {
        let number = i32::try_from(self.parts.len()).unwrap_or(MOST_PARTS) + 1;
        if number > MOST_PARTS {
            return Err(ArchiveError::Source(format!("longer than {MOST_PARTS} parts of {PART} bytes")));
        }
        let answer = self
            .archive
            .s3
            .upload_part()
            .bucket(&*self.archive.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .part_number(number)
            .body(ByteStream::from(body))
            .send();
        let answer = Box::pin(answer).await.map_err(|error| ArchiveError::from_sdk("UploadPart", &error))?;
        self.parts.push(CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).build());
        Ok(())
    }

    async fn complete(&mut self, size: u64) -> Result<(), ArchiveError> {
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.parts))).build();
        let answer = self
            .archive
            .s3
            .complete_multipart_upload()
            .bucket(&*self.archive.bucket)
            .key(&self.key)
            .upload_id(&self.id)
            .multipart_upload(parts)
            .send();
        if let Err(error) = Box::pin(answer).await {
            // A repeat of a completion whose answer was lost finds no upload any more, but the object.
            let gone = error.code() == Some("NoSuchUpload");
            if !gone || self.archive.size(&self.key).await? != Some(size) {
                return Err(ArchiveError::from_sdk("CompleteMultipartUpload", &error));
            }
        }
        self.open = false;
        Ok(())
    }

    async fn abort(&mut self) {
        self.open = false;
        abort(&self.archive, &self.key, &self.id).await;
    }
}

impl Drop for Multipart {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (archive, key, id) =
            (self.archive.clone(), std::mem::take(&mut self.key), std::mem::take(&mut self.id));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { abort(&archive, &key, &id).await });
        }
    }
}

async fn abort(archive: &Archive, key: &str, id: &str) {
    let answer = archive.s3.abort_multipart_upload().bucket(&*archive.bucket).key(key).upload_id(id).send();
    if let Err(error) = Box::pin(answer).await {
        let error = ArchiveError::from_sdk("AbortMultipartUpload", &error);
        tracing::warn!(key, %error, "an upload that failed could not be aborted; the bucket's lifecycle rule will");
    }
}
