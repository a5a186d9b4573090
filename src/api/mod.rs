//! The HTTP surface for clients: routes, authentication, problems (RFC 9457), request log.
