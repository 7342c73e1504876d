#include "compiler/MergeObjects.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/MC/StringTableBuilder.h"
#include "llvm/Object/ELF.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;
using namespace llvm::object;

namespace flashc {
namespace {

using File = ELFFile<ELF64LE>;
using Header = ELF64LE::Ehdr;
using SectionHeader = ELF64LE::Shdr;
using Symbol = ELF64LE::Sym;
using Relocation = ELF64LE::Rela;

template <typename T> StringRef bytesOf(ArrayRef<T> values) {
  return {reinterpret_cast<const char *>(values.data()), values.size() * sizeof(T)};
}

/// The object being made.
class Merger {
public:
  llvm::Error add(StringRef bytes);
  Expected<std::string> finish();

private:
  struct Section {
    StringRef name;
    SectionHeader header;
    StringRef bytes;
    /// Of a table of relocations: where it came from.
    size_t object = 0;
  };
  struct NamedSymbol {
    StringRef name;
    Symbol symbol;
  };
  /// What an object's numbers mean here.
  struct Object {
    std::vector<uint32_t> sections;
    /// Of its symbols, in `locals`, or in `globals` from kGlobal on.
    std::vector<uint32_t> symbols;
  };
  static constexpr uint32_t kGlobal = 1u << 31;

  llvm::Error addSymbols(const File &file, const SectionHeader &table, Object &object);

  Header header{};
  std::vector<Section> sections;
  std::vector<NamedSymbol> locals, globals;
  StringMap<uint32_t> globalNumbers;
  std::vector<Object> objects;
};

llvm::Error Merger::addSymbols(const File &file, const SectionHeader &table, Object &object) {
  auto symbols = file.symbols(&table);
  if (!symbols)
    return symbols.takeError();
  auto names = file.getStringTableForSymtab(table);
  if (!names)
    return names.takeError();
  for (const Symbol &original : *symbols) {
    if (&original == symbols->begin() && !locals.empty()) {
      object.symbols.push_back(0); // the null symbol
      continue;
    }
    Expected<StringRef> name = original.getName(*names);
    if (!name)
      return name.takeError();
    Symbol symbol = original;
    if (symbol.st_shndx != ELF::SHN_UNDEF && symbol.st_shndx < ELF::SHN_LORESERVE) {
      if (symbol.st_shndx >= object.sections.size())
        return createStringError("symbol '" + *name + "' lies in a section that is not there");
      symbol.st_shndx = object.sections[symbol.st_shndx];
    }
    if (symbol.getBinding() == ELF::STB_LOCAL) {
      object.symbols.push_back(locals.size());
      locals.push_back({*name, symbol});
      continue;
    }
    auto [known, isNew] = globalNumbers.try_emplace(*name, globals.size());
    object.symbols.push_back(kGlobal | known->second);
    if (isNew) {
      globals.push_back({*name, symbol});
      continue;
    }
    Symbol &other = globals[known->second].symbol;
    if (symbol.st_shndx != ELF::SHN_UNDEF && other.st_shndx != ELF::SHN_UNDEF)
      return createStringError("symbol '" + *name + "' is defined twice");
    if (symbol.st_shndx != ELF::SHN_UNDEF)
      other = symbol;
  }
  return llvm::Error::success();
}

llvm::Error Merger::add(StringRef bytes) {
  auto file = File::create(bytes);
  if (!file)
    return file.takeError();
  if (file->getHeader().e_type != ELF::ET_REL || file->getHeader().e_ident[ELF::EI_CLASS] != ELF::ELFCLASS64 ||
      file->getHeader().e_ident[ELF::EI_DATA] != ELF::ELFDATA2LSB)
    return createStringError("expected a relocatable, 64-bit, little-endian ELF object");
  if (objects.empty())
    header = file->getHeader();
  else if (header.e_machine != file->getHeader().e_machine)
    return createStringError("expected an object for machine " + Twine(header.e_machine) + ", got one for " +
                             Twine(file->getHeader().e_machine));
  auto headers = file->sections();
  if (!headers)
    return headers.takeError();
  Object object;
  const SectionHeader *symbolTable = nullptr;
  for (const SectionHeader &original : *headers) {
    Expected<StringRef> name = file->getSectionName(original);
    if (!name)
      return name.takeError();
    object.sections.push_back(0);
    bool isMark = *name == ".note.GNU-stack";
    if (original.sh_type == ELF::SHT_SYMTAB)
      symbolTable = &original;
    if (original.sh_type == ELF::SHT_GROUP)
      return createStringError("expected an object without section groups");
    // Which symbols' addresses matter is a hint to linkers, by the numbers of symbols.
    if (is_contained({ELF::SHT_NULL, ELF::SHT_SYMTAB, ELF::SHT_STRTAB, ELF::SHT_LLVM_ADDRSIG}, original.sh_type) ||
        (isMark && !objects.empty()))
      continue;
    auto contents = file->getSectionContents(original);
    if (!contents)
      return contents.takeError();
    Section section = {*name, original, llvm::toStringRef(*contents), objects.size()};
    object.sections.back() = sections.size() + 1;
    sections.push_back(section);
  }
  for (Section &section : sections) {
    if (section.object != objects.size() || section.header.sh_type != ELF::SHT_RELA)
      continue;
    if (section.header.sh_info >= object.sections.size())
      return createStringError("section '" + section.name + "' relocates a section that is not there");
    section.header.sh_info = object.sections[section.header.sh_info];
  }
  if (symbolTable)
    if (llvm::Error error = addSymbols(*file, *symbolTable, object))
      return error;
  objects.push_back(std::move(object));
  return llvm::Error::success();
}

Expected<std::string> Merger::finish() {
  // The table has local symbols first, the null symbol of the first object before all.
  std::vector<NamedSymbol> symbols = locals;
  std::vector<uint32_t> globalPlaces(globals.size());
  auto isHidden = [](const Symbol &symbol) {
    return symbol.st_shndx != ELF::SHN_UNDEF && symbol.getVisibility() == ELF::STV_HIDDEN;
  };
  for (bool hidden : {true, false}) {
    for (auto [i, global] : enumerate(globals)) {
      if (isHidden(global.symbol) != hidden)
        continue;
      globalPlaces[i] = symbols.size();
      symbols.push_back(global);
      if (hidden) {
        symbols.back().symbol.setBinding(ELF::STB_LOCAL);
        symbols.back().symbol.setVisibility(ELF::STV_DEFAULT);
      }
    }
  }
  size_t numLocals = locals.size() + count_if(globals, [&](const NamedSymbol &g) { return isHidden(g.symbol); });

  StringTableBuilder names(StringTableBuilder::ELF);
  for (const Section &section : sections)
    names.add(section.name);
  for (StringRef name : {".symtab", ".strtab"})
    names.add(name);
  for (const NamedSymbol &symbol : symbols)
    names.add(symbol.name);
  names.finalize();
  std::vector<Symbol> table;
  for (NamedSymbol &symbol : symbols) {
    symbol.symbol.st_name = symbol.name.empty() ? 0 : names.getOffset(symbol.name);
    table.push_back(symbol.symbol);
  }

  const uint32_t symbolTable = sections.size() + 1, nameTable = symbolTable + 1;
  std::string out(sizeof(Header), '\0');
  std::vector<SectionHeader> headers(1);
  memset(headers.data(), 0, sizeof(SectionHeader));
  auto append = [&](SectionHeader section, StringRef name, StringRef bytes) {
    uint64_t align = std::max<uint64_t>(section.sh_addralign, 1);
    if (section.sh_type != ELF::SHT_NOBITS) {
      out.resize(alignTo(out.size(), align));
      section.sh_size = bytes.size();
    }
    section.sh_offset = out.size();
    section.sh_name = names.getOffset(name);
    out += bytes;
    headers.push_back(section);
  };
  for (const Section &section : sections) {
    if (section.header.sh_type != ELF::SHT_RELA) {
      append(section.header, section.name, section.bytes);
      continue;
    }
    std::string bytes = section.bytes.str();
    MutableArrayRef<Relocation> relocations(reinterpret_cast<Relocation *>(bytes.data()),
                                            bytes.size() / sizeof(Relocation));
    const std::vector<uint32_t> &places = objects[section.object].symbols;
    for (Relocation &relocation : relocations) {
      uint32_t symbol = relocation.getSymbol(/*isMips64EL=*/false);
      if (symbol >= places.size())
        return createStringError("a relocation in section '" + section.name + "' names a symbol that is not there");
      uint32_t place = places[symbol];
      relocation.setSymbol(place & kGlobal ? globalPlaces[place & ~kGlobal] : place, /*IsMips64EL=*/false);
    }
    SectionHeader header = section.header;
    header.sh_link = symbolTable;
    append(header, section.name, bytes);
  }
  SectionHeader symbolHeader{};
  symbolHeader.sh_type = ELF::SHT_SYMTAB;
  symbolHeader.sh_link = nameTable;
  symbolHeader.sh_info = numLocals;
  symbolHeader.sh_addralign = alignof(uint64_t);
  symbolHeader.sh_entsize = sizeof(Symbol);
  append(symbolHeader, ".symtab", bytesOf(ArrayRef(table)));
  SmallString<0> text;
  raw_svector_ostream os(text);
  names.write(os);
  SectionHeader nameHeader{};
  nameHeader.sh_type = ELF::SHT_STRTAB;
  nameHeader.sh_addralign = 1;
  append(nameHeader, ".strtab", text);

  out.resize(alignTo(out.size(), alignof(uint64_t)));
  header.e_shoff = out.size();
  header.e_shnum = headers.size();
  header.e_shstrndx = nameTable;
  out += bytesOf(ArrayRef(headers));
  memcpy(out.data(), &header, sizeof header);
  return out;
}
} // namespace

Expected<std::string> mergeObjects(ArrayRef<std::string> objects) {
  if (objects.size() == 1)
    return objects.front();
  Merger merger;
  for (auto [number, object] : enumerate(objects))
    if (llvm::Error error = merger.add(object))
      return createStringError("object " + Twine(number) + ": " + toString(std::move(error)));
  return merger.finish();
}
} // namespace flashc
