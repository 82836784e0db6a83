// The token that every request must bring. Any thread. It stands in a file that nobody else may
// read, never in an argument list, a log or an answer.
#pragma once

#include "runtime/base/value.h"

#include <string>
#include <string_view>

namespace runbook::serve {

class Token {
  public:
    /// The token of the file: its text without blanks around it. With `make` a file that is not
    /// there is made, with a new one that only this user may read. Throws Error{`usage`}: no such
    /// file, others may read it, fewer than 16 characters.
    Token(const std::string& file, bool make);

    /// Whether the header Authorization brings it: "Bearer TOKEN", or "Basic …" with it as the
    /// password, as browsers send it. Takes as long whatever is brought.
    bool allows(std::string_view authorization) const;

  private:
    SecretPtr token_;
};

} // namespace runbook::serve
