"""The cache directory: results, records of unfinished operations, and locks, and when each of them is synced.

============================  ==============================================  ====================================
``results/NET-ID-IF``         result of an ADD, in the format of Go libcni    before the name appears; then the name
``journal/slots``, ``NET@…``  record of an attachment, from before its first  before the first plugin gets its
                              plugin until its last DEL                       request, and at each change of state
``locks/all``                 one byte for each lock, and its holder            never: a lock dies with its process
``damaged/``                  files that make no sense, set aside             with the move
============================  ==============================================  ====================================

From the bottom: ``operations`` makes the system calls, ``sync`` brings what they wrote to the disk, ``folder`` and
``open_file`` write whole files or nothing, ``slot_file`` keeps small records in one file. ``result_cache`` and
``journal`` know what the files mean, ``locks`` who may change them, and ``store`` holds all of it. A damaged file is
never an attachment, and never stops another one. ``namespace`` tells one network namespace from the next.
"""
