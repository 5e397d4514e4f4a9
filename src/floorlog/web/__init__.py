"""The page: reads the record and the cache, shows what is abnormal now; changes nothing."""
