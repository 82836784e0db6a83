// A row of COPY text rewritten as LOAD DATA text.
// Owns: the codecs. Pure functions, any thread. Both forms separate by tabs and escape by
// backslash; they differ in \v and \f, and in the types that `Codec` names.
#pragma once

#include "runtime/transfer/schema/schema.h"

#include <string>
#include <string_view>
#include <vector>

namespace runbook::copy {

class RowEncoder {
  public:
    explicit RowEncoder(std::vector<schema::Codec> codecs);
    /// Appends the row, which ends in a newline. Throws Error{`internal`} where it has another
    /// number of fields, or a field that its codec does not know.
    void encode(std::string_view row, std::string& out) const;

  private:
    std::vector<schema::Codec> codecs_;
    bool plain_ = true;
};

/// The field of COPY text without its escapes.
std::string unescape(std::string_view field);
/// Appends `text` as a field of COPY text.
void escape(std::string_view text, std::string& out);

} // namespace runbook::copy
