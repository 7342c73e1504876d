# Writes to OUTPUT a definition of FLASHC_SOURCES: a digest of everything that decides what the compiler makes of a kernel.
file(GLOB_RECURSE sources RELATIVE ${ROOT} ${ROOT}/dialects/*.cpp ${ROOT}/dialects/*.h ${ROOT}/dialects/*.td
     ${ROOT}/passes/*.cpp ${ROOT}/passes/*.h ${ROOT}/passes/*.td ${ROOT}/compiler/*.cpp ${ROOT}/compiler/*.h
     ${ROOT}/runtime/CostModel.cpp ${ROOT}/runtime/CostModel.h)
list(SORT sources)
set(digests "")
foreach(source IN LISTS sources)
  file(SHA256 ${ROOT}/${source} digest)
  string(APPEND digests "${source} ${digest}\n")
endforeach()
string(SHA256 digest "${digests}")
string(SUBSTRING ${digest} 0 16 digest)
file(WRITE ${OUTPUT} "#define FLASHC_SOURCES \"${digest}\"\n")
