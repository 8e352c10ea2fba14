//! What can be seen of the data plane: metric families and the access-log record.
