"""Headers with everything that a header can have, and how stock writes them."""

from __future__ import annotations

from protocols.crc import Crc
from protocols.header import (
    Header,
    HeaderType,
)

REGION = 32768

FIRST_PART = """\
AMANDA: SPLIT_FILE 20240102030405 client.example.com /home  part 1/-1  lev 0 comp .gz \
program APPLICATION
APPLICATION=amgtar
ORIGSIZE=20480
NATIVE-CRC=1a2b3c4d:20971520
CLIENT-CRC=5e6f7081:4096000
SERVER-CRC=5e6f7081:4096000
DLE=<<ENDDLE
<dle>
  <program>APPLICATION</program>
  <disk>/home</disk>
</dle>
ENDDLE
To restore, position tape at start of file and run:
	dd if=<tape> bs=32k skip=1 |  /bin/gzip -dc |  ./amgtar restore [./file-to-restore]+\x20
\f
"""
EVERYTHING = """\
AMANDA: SPLIT_FILE 20240102030405 client.example.com "C:/My \\"Docs\\""  part 3/-1  lev 1 \
comp .gz program APPLICATION crypt enc server_encrypt /usr/sbin/amcrypt server_decrypt_option -d
CONT_FILENAME=/holding/20240102030405/c.1
APPLICATION=amgtar
PARTIAL=YES
ORIGSIZE=1234
NATIVE-CRC=e3069283:9
CLIENT-CRC=00000001:5
SERVER-CRC=deadbeef:777
DLE=<<ENDDLE
<dle>
  <program>APPLICATION</program>
  <disk>/x</disk>
</dle>

ENDDLE
To restore, position tape at start of file and run:
	dd if=<tape> bs=32k skip=1 | /usr/sbin/amcrypt -d |  /bin/gzip -dc |  ./amgtar restore\x20
\f
"""
CONTINUATION = """\
AMANDA: CONT_FILE 20240102 h /u  lev 0 comp cust program BACKUP crypt enc \
server_custom_compress /usr/bin/custom client_encrypt /bin/cenc client_decrypt_option -d -x
To restore, position tape at start of file and run:
	dd if=<tape> skip=1 |\x20
\f
"""

first_part = Header(
    type=HeaderType.SPLIT_DUMPFILE,
    datestamp="20240102030405",
    host="client.example.com",
    disk="/home",
    partnum=1,
    totalparts=-1,
    comp_suffix=".gz",
    program="APPLICATION",
    application="amgtar",
    orig_size=20480,
    native_crc=Crc(0x1A2B3C4D, 20971520),
    client_crc=Crc(0x5E6F7081, 4096000),
    server_crc=Crc(0x5E6F7081, 4096000),
    dle="<dle>\n  <program>APPLICATION</program>\n  <disk>/home</disk>\n</dle>",
    uncompress_cmd=" /bin/gzip -dc |",
    recover_cmd=" ./amgtar restore [./file-to-restore]+",
)
everything = Header(
    type=HeaderType.SPLIT_DUMPFILE,
    datestamp="20240102030405",
    host="client.example.com",
    disk='C:/My "Docs"',
    partnum=3,
    totalparts=-1,
    level=1,
    comp_suffix=".gz",
    program="APPLICATION",
    encrypt_suffix="enc",
    server_encrypt="/usr/sbin/amcrypt",
    server_decrypt_option="-d",
    cont_filename="/holding/20240102030405/c.1",
    application="amgtar",
    is_partial=True,
    orig_size=1234,
    native_crc=Crc(0xE3069283, 9),
    client_crc=Crc(1, 5),
    server_crc=Crc(0xDEADBEEF, 777),
    dle="<dle>\n  <program>APPLICATION</program>\n  <disk>/x</disk>\n</dle>\n",
    decrypt_cmd="/usr/sbin/amcrypt -d |",
    uncompress_cmd=" /bin/gzip -dc |",
    recover_cmd=" ./amgtar restore",
)
continuation = Header(
    type=HeaderType.CONT_DUMPFILE,
    datestamp="20240102",
    host="h",
    disk="/u",
    comp_suffix="cust",
    program="BACKUP.EXE",
    encrypt_suffix="enc",
    server_custom_compress="/usr/bin/custom",
    client_encrypt="/bin/cenc",
    client_decrypt_option="-d -x",
)
