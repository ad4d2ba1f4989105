#include "format/diff_stream.hpp"

#include <algorithm>

#include "codec/checksum.hpp"

namespace square::format {
namespace {

constexpr std::string_view kMagic("SQDF", 4);
constexpr std::size_t kFrameBytes = 4 + 2 + 1 + 1 + 4 + 4;  // in front of the body
constexpr std::size_t kChecksumBytes = 8;
constexpr std::size_t kKeyBytesMax = 512, kValueBytesMax = 64u << 10;

// The least that one of a list takes, to refuse counts that cannot be.
constexpr std::size_t kExtentBytesMin = 8 + 8 + 46 + 4, kItemBytesMin = 8 + 8 + 8 + 9,
                      kRecordBytesMin = 4 + 1, kSessionBytes = 8 + 8 + 128, kSnapshotBytes = 44 + 8;

Error corrupt(const std::string& what) { return {Code::kCorrupt, "diff stream: " + what}; }

// A flag has one encoding.
bool get_flag(Reader& in) {
  const auto flag = in.get<std::uint8_t>();
  if (flag > 1) in.fail();
  return flag == 1;
}

// ---- parts

void put_ref(Writer& out, const ExtentRef& extent) {
  put(out, extent.id);
  out.put(extent.plain_bytes);
  out.put(extent.stored_bytes);
  out.put(extent.checksum);
  put(out, extent.digest);
}
void get_ref(Reader& in, ExtentRef& extent) {
  get(in, extent.id);
  in.get(extent.plain_bytes);
  in.get(extent.stored_bytes);
  in.get(extent.checksum);
  get(in, extent.digest);
  if (extent.plain_bytes == 0 || extent.plain_bytes % kBlockBytes != 0 ||
      extent.plain_bytes > kOperationBytesMax)
    in.fail();
}

void put(Writer& out, const DiffExtent& extent) {
  out.put(extent.volume);
  out.put(extent.offset);
  put_ref(out, extent.extent);
  out.put_sized(extent.stored);
}
void get(Reader& in, DiffExtent& extent) {
  in.get(extent.volume);
  in.get(extent.offset);
  get_ref(in, extent.extent);
  const auto stored = in.get_sized();
  if (extent.offset % kBlockBytes != 0 || stored.size() != extent.extent.stored_bytes)
    return in.fail();
  extent.stored.assign(stored.begin(), stored.end());
}

void put(Writer& out, const DiffItem& item) {
  out.put(item.volume);
  out.put(item.offset);
  out.put(item.length);
  out.put(static_cast<std::uint8_t>(!item.mapping.hole));
  if (item.mapping.hole) return out.put(item.mapping.hole_sequence);
  put_ref(out, item.mapping.extent);
  out.put(item.mapping.extent_offset);
}
void get(Reader& in, DiffItem& item) {
  in.get(item.volume);
  in.get(item.offset);
  in.get(item.length);
  auto& mapping = item.mapping;
  mapping.hole = !get_flag(in);
  if (item.offset % kBlockBytes != 0 || item.length % kBlockBytes != 0 || item.length == 0 ||
      item.offset + item.length < item.offset)
    return in.fail();
  if (mapping.hole) return in.get(mapping.hole_sequence);
  get_ref(in, mapping.extent);
  in.get(mapping.extent_offset);
  const auto plain_bytes = mapping.extent.plain_bytes;
  if (mapping.extent_offset % kBlockBytes != 0 || mapping.extent_offset > plain_bytes ||
      item.length > plain_bytes - mapping.extent_offset)
    in.fail();
}

void put(Writer& out, const DiffRecord& record) {
  out.put_sized(as_bytes(record.key));
  out.put(static_cast<std::uint8_t>(record.value.has_value()));
  if (record.value) out.put_sized(*record.value);
}
void get(Reader& in, DiffRecord& record) {
  record.key = std::string(as_text(in.get_sized()));
  if (record.key.empty() || record.key.size() > kKeyBytesMax) return in.fail();
  if (!get_flag(in)) return;
  const auto value = in.get_sized();
  if (value.size() > kValueBytesMax) return in.fail();
  record.value.emplace(value.begin(), value.end());
}

void put(Writer& out, const DiffSession& session) {
  out.put(session.session);
  out.put(session.requests.highest.value);
  for (const auto word : session.requests.done) out.put(word);
}
void get(Reader& in, DiffSession& session) {
  in.get(session.session);
  in.get(session.requests.highest);
  for (auto& word : session.requests.done) in.get(word);
}

void put(Writer& out, const DiffSnapshot& snapshot) {
  put(out, snapshot.id);
  out.put(snapshot.wall_ns);
}
void get(Reader& in, DiffSnapshot& snapshot) {
  get(in, snapshot.id);
  in.get(snapshot.wall_ns);
}

// ---- lists

template <class T>
void put_list(Writer& out, const std::vector<T>& list) {
  out.put(static_cast<std::uint32_t>(list.size()));
  for (const auto& one : list) put(out, one);
}
template <class T>
void get_list(Reader& in, std::vector<T>& list, std::size_t bytes_min) {
  const auto count = in.get<std::uint32_t>();
  if (count > in.left() / bytes_min) return in.fail();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) get(in, list.emplace_back());
}

// ---- bodies, in the order of DiffPiece

void put(Writer& out, const DiffHeader& header) {
  out.put(header.cell);
  out.put(header.group);
  out.put(static_cast<std::uint8_t>(header.base.has_value()));
  if (header.base) put(out, *header.base);
  put(out, header.target);
  put(out, header.cursor);
  out.put(header.came_with);
}
void get(Reader& in, DiffHeader& header) {
  in.get(header.cell);
  in.get(header.group);
  if (get_flag(in)) get(in, header.base.emplace());
  get(in, header.target);
  get(in, header.cursor);
  in.get(header.came_with);
  if (header.base && header.base->snapshot.sequence >= header.target.sequence) in.fail();
}

void put(Writer& out, const DiffItems& items) {
  out.put(static_cast<std::uint8_t>(items.again));
  put_list(out, items.extents);
  put_list(out, items.items);
}
void get(Reader& in, DiffItems& items) {
  items.again = get_flag(in);
  get_list(in, items.extents, kExtentBytesMin);
  get_list(in, items.items, kItemBytesMin);
}

void put(Writer& out, const DiffRecords& records) { put_list(out, records.records); }
void get(Reader& in, DiffRecords& records) { get_list(in, records.records, kRecordBytesMin); }

void put(Writer& out, const DiffSessions& sessions) { put_list(out, sessions.sessions); }
void get(Reader& in, DiffSessions& sessions) { get_list(in, sessions.sessions, kSessionBytes); }

void put(Writer& out, const DiffSnapshots& snapshots) { put_list(out, snapshots.snapshots); }
void get(Reader& in, DiffSnapshots& snapshots) {
  get_list(in, snapshots.snapshots, kSnapshotBytes);
}

void put(Writer& out, const DiffEnd& end) {
  out.put_raw(end.root);
  out.put(end.rewrites);
  for (const auto count :
       {end.counts.items, end.counts.extents, end.counts.records, end.counts.sessions})
    out.put(count);
}
void get(Reader& in, DiffEnd& end) {
  const auto root = in.get_raw(end.root.size());
  if (in.ok()) std::copy(root.begin(), root.end(), end.root.begin());
  in.get(end.rewrites);
  for (auto* count :
       {&end.counts.items, &end.counts.extents, &end.counts.records, &end.counts.sessions})
    in.get(*count);
}

template <class Piece>
Result<DiffPiece> decode_body(Bytes body) {
  Reader in(body);
  Piece piece;
  get(in, piece);
  if (!in.finished()) return corrupt("fields do not fit together");
  return DiffPiece(std::move(piece));
}

std::uint64_t chained(const DiffChain& before, Bytes framed) {
  ByteVector front;
  Writer(front).put(before.checksum);
  const Bytes parts[] = {front, framed};
  return codec::checksum64(parts);
}

}  // namespace

namespace {

// Enough for the extents, which are nearly all of a long piece: it is not moved while it grows.
std::size_t bytes_about(const DiffPiece& piece) {
  constexpr std::size_t kItemBytesMax = 96, kOther = 4096;
  const auto* items = std::get_if<DiffItems>(&piece);
  if (items == nullptr) return kOther;
  auto bytes = kOther + items->items.size() * kItemBytesMax;
  for (const auto& one : items->extents) bytes += kExtentBytesMin + one.stored.size();
  return bytes;
}

void put_body(Writer& out, const DiffPiece& piece) {
  std::visit([&](const auto& one) { put(out, one); }, piece);
}

}  // namespace

ByteVector encode_diff_body(const DiffPiece& piece) {
  ByteVector body;
  body.reserve(bytes_about(piece));
  Writer out(body);
  put_body(out, piece);
  return body;
}

Result<DiffPiece> decode_diff_body(std::uint8_t kind, Bytes body) {
  switch (kind) {
    case 0: return decode_body<DiffHeader>(body);
    case 1: return decode_body<DiffItems>(body);
    case 2: return decode_body<DiffRecords>(body);
    case 3: return decode_body<DiffSessions>(body);
    case 4: return decode_body<DiffSnapshots>(body);
    case 5: return decode_body<DiffEnd>(body);
    default: return corrupt("a piece of unknown kind " + std::to_string(kind));
  }
}

ByteVector DiffEncoder::next(const DiffPiece& piece) {
  ByteVector bytes;
  bytes.reserve(bytes_about(piece));
  Writer out(bytes);
  out.put_raw(as_bytes(kMagic));
  out.put(kDiffVersion);
  out.put(static_cast<std::uint8_t>(piece.index()));
  out.put(std::uint8_t{0});
  out.put(chain_.number++);
  out.put(std::uint32_t{0});  // the body's length, once it is known
  put_body(out, piece);
  out.patch(kFrameBytes - sizeof(std::uint32_t),
            static_cast<std::uint32_t>(bytes.size() - kFrameBytes));
  chain_.checksum = chained(chain_, bytes);
  out.put(chain_.checksum);
  SQ_CHECK(bytes.size() <= kDiffPieceBytesMax, "a piece of a diff is too long");
  return bytes;
}

// ---- the order of a stream

// Frame and body, before the order is looked at.
Result<DiffPiece> DiffDecoder::open(Bytes bytes) {
  if (bytes.size() < kFrameBytes + kChecksumBytes || bytes.size() > kDiffPieceBytesMax)
    return corrupt("no piece has this length");
  const auto framed = bytes.first(bytes.size() - kChecksumBytes);
  Reader in(framed);
  if (as_text(in.get_raw(kMagic.size())) != kMagic) return corrupt("no magic");
  const auto sum = chained(chain_, framed);
  if (Reader(bytes.last(kChecksumBytes)).get<std::uint64_t>() != sum)
    return corrupt("a piece is damaged, or not the next one of its stream");
  const auto version = in.get<std::uint16_t>();
  if (version != kDiffVersion)
    return Error{Code::kUnsupported, "diff stream format " + std::to_string(version) +
                                         ", this program knows " + std::to_string(kDiffVersion)};
  const auto kind = in.get<std::uint8_t>();
  const auto reserved = in.get<std::uint8_t>();
  const auto number = in.get<std::uint32_t>();
  const auto body = in.get_sized();
  if (!in.finished() || reserved != 0 || number != chain_.number) return corrupt("a wrong frame");
  chain_ = {number + 1, sum};
  return decode_diff_body(kind, body);
}

Result<DiffPiece> DiffDecoder::next(Bytes bytes) {
  if (failed_ || ended()) return corrupt("a piece behind the end of a stream");
  failed_ = true;
  SQ_TRY(auto piece, open(bytes));
  if (!std::visit([&](const auto& one) { return fits(one); }, piece))
    return corrupt("a piece that does not fit those before it");
  failed_ = false;
  return piece;
}

bool DiffDecoder::move_to(unsigned place) {
  // Only a header begins a stream, and there is one.
  if (place < place_ || (place == 1) != (place_ == 0)) return false;
  place_ = place;
  return true;
}

bool DiffDecoder::fits(const DiffHeader& header) {
  target_ = header.target;
  cursor_ = header.cursor;
  return move_to(1);
}

bool DiffDecoder::fits(const DiffItems& items) {
  if (!move_to(items.again ? 3 : 2)) return false;
  DiffCursor again;
  auto& cursor = items.again ? again : cursor_;
  for (const auto& item : items.items) {
    if (DiffCursor{item.volume, item.offset} < cursor) return false;
    cursor = {item.volume, item.offset + item.length};
  }
  counts_.items += items.items.size();
  counts_.extents += items.extents.size();
  return true;
}

bool DiffDecoder::fits(const DiffRecords& records) {
  if (!move_to(4)) return false;
  for (const auto& record : records.records) {
    if (record.key <= last_record_) return false;
    last_record_ = record.key;
  }
  counts_.records += records.records.size();
  return true;
}

bool DiffDecoder::fits(const DiffSessions& sessions) {
  if (!move_to(5)) return false;
  for (const auto& session : sessions.sessions) {
    if (session.session <= last_session_) return false;
    last_session_ = session.session;
  }
  counts_.sessions += sessions.sessions.size();
  return true;
}

bool DiffDecoder::fits(const DiffSnapshots& snapshots) {
  if (place_ == 6 || !move_to(6)) return false;
  const auto& list = snapshots.snapshots;
  const auto elder = [](const DiffSnapshot& a, const DiffSnapshot& b) {
    return a.id.sequence >= b.id.sequence;
  };
  return std::adjacent_find(list.begin(), list.end(), elder) == list.end() &&
         std::any_of(list.begin(), list.end(),
                     [&](const DiffSnapshot& one) { return one.id == target_; });
}

bool DiffDecoder::fits(const DiffEnd& end) {
  if (place_ != 6 || end.counts != counts_ || end.rewrites < target_.sequence) return false;
  return move_to(kEnded);
}

}  // namespace square::format
