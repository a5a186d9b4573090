//! Pure types and rules: call, talk, phone, window, retry, disposition, notice.
