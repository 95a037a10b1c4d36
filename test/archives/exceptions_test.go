//go:build linux

package archives

// exception is why a fixture is not, or not wholly, as others have it.
type exception struct {
	why  string // in words
	says string // a part of what Shoal, or the comparison, says of it; or several, with | between
}

const (
	encrypted   = "encrypted: Shoal knows no passwords"
	noHeader    = "damaged on purpose: its headers are wrong. bsdtar finds nothing there, either, or members without a name, as it was damaged for programs that check no CRC"
	noEnd       = "damaged on purpose: it has no end of central directory record, without which there is no telling what is in it"
	contradicts = "damaged on purpose: its directory and the member's own header contradict each other"
	otherCount  = "damaged on purpose: its directory has not as many entries as its end says"
)

// refused are the fixtures that Shoal does not show, or of which it refuses to read members.
var refused = map[string]exception{
	"go-tar/issue10968.tar": {"damaged on purpose: the size in its header is none, or below 0", "has no valid size"},
	"go-tar/issue12435.tar": {"damaged on purpose: the size in its header is none, or below 0", "has no valid size"},
	"go-tar/neg-size.tar":   {"damaged on purpose: the size in its header is none, or below 0", "has no valid size"},

	"libarchive-cpio/test_option_passphrase.zip":                                       {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_mtree_crash747.mtree.bz2":                  {"damaged on purpose: bzip2 says so as well", "block checksum mismatch"},
	"libarchive-libarchive/test_read_format_rar5_arm_filter_on_window_boundary.rar":    {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_bad_window_sz_in_mltarc_file.rar":     {noHeader, "ends too early"},
	"libarchive-libarchive/test_read_format_rar5_block_size_is_too_small.rar":          {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_decode_number_out_of_bounds_read.rar": {noHeader, "wrong lengths in a header"},
	"libarchive-libarchive/test_read_format_rar5_different_solid_window_size.rar":      {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_different_window_size.rar":            {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_different_winsize_on_merge.rar":       {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_distance_overflow.rar":                {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_invalid_dict_reference.rar":           {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_leftshift1.rar":                       {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_leftshift2.rar":                       {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_nonempty_dir_stream.rar":              {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_readtables_overflow.rar":              {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_truncated_huff.rar":                   {noHeader, "no header"},
	"libarchive-libarchive/test_read_format_rar5_window_buf_and_size_desync.rar":       {noHeader, "ends too early"},
	"libarchive-libarchive/test_read_format_rar_encryption_data.rar":                   {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_rar_encryption_header.rar":                 {encrypted, "headers are encrypted"},
	"libarchive-libarchive/test_read_format_rar_encryption_partially.rar":              {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_rar_invalid1.rar":                          {"damaged on purpose: its data is longer than the file", "goes past the end of its volume"},
	"libarchive-libarchive/test_read_format_rar_ppmd_use_after_free.rar":               {noHeader, "wrong CRC of a header"},
	"libarchive-libarchive/test_read_format_rar_ppmd_use_after_free2.rar":              {noHeader, "wrong CRC of a header"},
	"libarchive-libarchive/test_read_format_zip_bz2_hang.zip":                          {noEnd, "has no end record"},
	"libarchive-libarchive/test_read_format_zip_encryption_data.zip":                   {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_zip_encryption_header.zip":                 {"encrypted, its directory as well, which looks like another disk", "disk 1 of a split archive"},
	"libarchive-libarchive/test_read_format_zip_encryption_partially.zip":              {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_zip_extra_padding.zip":                     {noEnd, "has no end record"},
	"libarchive-libarchive/test_read_format_zip_lzma_alone_leak.zipx.zip":              {noEnd, "has no end record"},
	"libarchive-libarchive/test_read_format_zip_malformed1.zip":                        {noEnd, "has no end record"},
	"libarchive-libarchive/test_read_format_zip_ppmd8.zipx.zip":                        {"method 98 (PPMd) is not supported", "method that is not supported"},
	"libarchive-libarchive/test_read_format_zip_ppmd8_crash_1.zipx.zip":                {noEnd, "has no end record"},
	"libarchive-libarchive/test_read_format_zip_ppmd8_crash_2.zipx.zip":                {noEnd, "has no end record"},
	"libarchive-libarchive/test_read_format_zip_ppmd8_multi.zipx.zip":                  {"method 98 (PPMd) is not supported", "method that is not supported"},
	"libarchive-libarchive/test_read_format_zip_traditional_encryption_data.zip":       {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_zip_winzip_aes128.zip":                     {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_zip_winzip_aes256.zip":                     {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_zip_winzip_aes256_large.zip":               {encrypted, "is encrypted"},
	"libarchive-libarchive/test_read_format_zip_winzip_aes256_stored.zip":              {encrypted, "is encrypted"},
	"libarchive-tar/test_option_passphrase.zip":                                        {encrypted, "is encrypted"},
	"libzip/bogus.zip":                                   {"no archive", "no archive has 11 bytes"},
	"libzip/broken.zip":                                  {"damaged on purpose: one member is no DEFLATE data, and one is encrypted", "compressed data is damaged|is encrypted"},
	"libzip/encrypt-aes128-noentropy.zip":                {encrypted, "is encrypted"},
	"libzip/encrypt-aes128.zip":                          {encrypted, "is encrypted"},
	"libzip/encrypt-aes192-noentropy.zip":                {encrypted, "is encrypted"},
	"libzip/encrypt-aes192.zip":                          {encrypted, "is encrypted"},
	"libzip/encrypt-aes256-noentropy.zip":                {encrypted, "is encrypted"},
	"libzip/encrypt-aes256.zip":                          {encrypted, "is encrypted"},
	"libzip/encrypt-pkware-noentropy.zip":                {encrypted, "is encrypted"},
	"libzip/encrypt.zip":                                 {encrypted, "is encrypted"},
	"libzip/encrypt_plus_extra.zip":                      {encrypted, "is encrypted"},
	"libzip/encrypt_plus_extra_modified_c.zip":           {encrypted, "is encrypted"},
	"libzip/encrypt_plus_extra_modified_l.zip":           {encrypted, "is encrypted"},
	"libzip/incons-cdoffset.zip":                         {"damaged on purpose: the directory is not in the file", "can't be at"},
	"libzip/incons-central-compression-method.zip":       {contradicts, "has another method"},
	"libzip/incons-central-compsize-larger-toolarge.zip": {contradicts, "claims a size that its data can't have"},
	"libzip/incons-central-compsize-larger.zip":          {contradicts, "claims a size that its data can't have"},
	"libzip/incons-central-compsize-smaller.zip":         {contradicts, "has another size"},
	"libzip/incons-central-crc.zip":                      {contradicts, "has another CRC-32"},
	"libzip/incons-central-file-comment-longer.zip":      {otherCount, "0 entries instead of 1"},
	"libzip/incons-central-magic-bad.zip":                {otherCount, "0 entries instead of 1"},
	"libzip/incons-central-magic-bad2.zip":               {otherCount, "0 entries instead of 1"},
	"libzip/incons-central-size-larger.zip":              {contradicts, "claims a size that its data can't have"},
	"libzip/incons-eocd-magic-bad.zip":                   {noEnd, "has no end record"},
	"libzip/incons-file-count-high.zip":                  {otherCount, "1 entries instead of 32"},
	"libzip/incons-file-count-low.zip":                   {otherCount, "3 entries instead of 2"},
	"libzip/incons-local-compression-method.zip":         {contradicts, "has another method"},
	"libzip/incons-local-compsize-larger.zip":            {contradicts, "has another size"},
	"libzip/incons-local-compsize-smaller.zip":           {contradicts, "has another size"},
	"libzip/incons-local-crc.zip":                        {contradicts, "has another CRC-32"},
	"libzip/incons-local-filename-long.zip":              {"damaged on purpose: the local header reaches into the directory", "beyond 60 where something else starts"},
	"libzip/incons-local-magic-bad.zip":                  {"damaged on purpose: there is no local header", "has no signature"},
	"libzip/incons-local-size-larger.zip":                {contradicts, "has another size"},
	"libzip/multidisk.zip":                               {"the last of several disks, without the others", "disk 2 of a split archive"},
}

// alone are those that Shoal shows otherwise than all the others, or that no other one can read.
var alone = map[string]exception{
	"go-tar/gnu-sparse-many-zeros.tar.bz2": {
		"its only member has a map of holes with more runs than any may have: Shoal drops it, Go refuses it, and bsdtar gives it no bytes",
		"is missing",
	},
	"go-tar/pax-bad-mtime-file.tar": {
		"its time in the extended header is none: Shoal takes that of the old header, bsdtar half of the bad one, and Go refuses it",
		"has the time of",
	},
	"go-tar/pax-nul-xattrs.tar": {
		"its extended attributes are not valid, which Shoal does not read: bsdtar and Go refuse the whole member",
		"is not there",
	},
	"go-zip/comment-truncated.zip": {
		"two archives in one, so that readers disagree: Shoal takes the one whose comment is whole, bsdtar and unzip the other, and Go refuses it",
		`"\"file\" is not there"`,
	},
	"go-zip/go-with-datadesc-sig.zip": {
		"its date is day 0 of month 0: Shoal has it as 1980-01-01, others count back from there",
		"1980-01-01",
	},
	"libarchive-libarchive/test_read_format_rar5_multiarchive_solid.part01.rar": {
		"solid, in volumes: bsdtar opens one volume only, and unar cannot read it. What Shoal reads has the CRC-32 that libarchive's own test wants, 886f91eb",
		`1 times ["\"elf-Linux-ARMv7-ls\" has the digest`,
	},
	"libzip/zip-in-archive-comment.zip": {
		"its comment is another archive, which unzip takes for it, and Go for damage; bsdtar finds nothing. libzip's own test wants what Shoal has",
		"testfile.txt",
	},
}
