"""Sorting a bucket: every object gets one row, exactly once, however often the work is interrupted.

    <destination>/_jobs/<job>.json                  what was asked for; its existence is the job
    <destination>/_sort/<job>/work/frozen.json      which listing of the source is sorted
                                   shards/          that listing, cut into shards
                                   results/         the rows of a shard, written once (If-None-Match)
                                   copies/          what a shard adds to the destination, written before it is added
                                   progress/        one file per worker, rewritten every second
    <destination>/_sort/<job>/manifest.jsonl .csv .parquet, summary.html, done.json    merged
    <destination>/_latest/<source and model>.json   the job whose rows the next one carries over
    <destination>/<label>/ _review/ _out_of_scope/ _unreadable/ _dicom/                on request

Nothing is kept anywhere else, so any process can go on with a job, and several may work on the same shard: the bytes
of a result depend on the objects and the model only, and the first writer wins.
"""
