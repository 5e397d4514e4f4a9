-- A shard's state comes compressed from the worker: the server keeps it as it comes.

ALTER TABLE shard_state ALTER COLUMN state SET STORAGE EXTERNAL;
