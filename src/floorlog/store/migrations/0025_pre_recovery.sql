-- The keeper's role writes down what was done to the log itself: that it was forked after a restore.

GRANT INSERT ON audit_event TO floorlog_keeper;
