# cmake -DINPUT=... -DOUTPUT=... -P EmbedHeader.cmake: a file as the elements of a C array.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE ",$" "" bytes "${bytes}")
file(WRITE ${OUTPUT} "${bytes}\n")
